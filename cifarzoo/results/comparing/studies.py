"""Two configs trained seed by seed until it can be told which is better.

The runs lie in ``<runs>/compare/<first>-<second>/<name>/seed<N>``, each an ordinary run's folder.
The pairs count in the order of their seeds, so that stopping and starting again changes no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cifarzoo.api.identity import holds
from cifarzoo.config import Config
from cifarzoo.config.differences import differences
from cifarzoo.errors import UsageError
from cifarzoo.results.comparing.groups import Metric
from cifarzoo.results.comparing.sequential import Sequential, decide
from cifarzoo.run_folders.folder import RunFolder

FOLDER = "compare"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two runs of one seed.

    Attributes:
        seed: Seed of both.
        first: Metric of the baseline, in percent.
        second: Metric of the candidate, in percent.
    """

    seed: int
    first: float
    second: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is compared, and when it ends.

    Attributes:
        configs: Config of the baseline and of the candidate, whatever their seed.
        names: Names of the two.
        runs: Folder that runs go to.
        metric: Number of a run that is compared.
        effect: Smallest difference that matters, in percent points.
        max_seeds: Number of pairs after which nothing more is trained.
    """

    configs: tuple[Config, Config]
    names: tuple[str, str]
    runs: Path
    metric: Metric
    effect: float
    max_seeds: int

    def config(self, side: int, seed: int) -> Config:
        """The config of one run; ``side`` is 0 for the baseline, 1 for the candidate."""
        return self.configs[side].with_values({"run.seed": seed}, location=f"seed {seed}")

    def folder(self, side: int, seed: int) -> Path:
        """Where a run lies."""
        pair = "-".join(self.names)
        return self.runs / FOLDER / pair / self.names[side] / f"seed{seed}"

    def decided(self, pairs: Sequence[Pair]) -> Sequential:
        """What these pairs say."""
        return decide([pair.second - pair.first for pair in pairs], effect=self.effect)

    def number(self, side: int, seed: int) -> float | None:
        """The metric of a run in percent; None: it isn't done.

        Raises:
            UsageError: Its folder holds a run of another config, or one that lacks the metric.
        """
        path = self.folder(side, seed)
        if not holds(path, self.config(side, seed)):
            return None
        record = RunFolder(path).record
        if record.get("status") != "done":
            return None
        if record.get(self.metric) is None:
            raise UsageError(f"{path} has no {self.metric}")
        return 100 * float(record[self.metric])


class Progress:
    """How far a study has come: each run that is done is read once.

    Args:
        study: What is compared.

    Attributes:
        study: What is compared.
        pairs: Pairs that count, which are those up to a decision.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.pairs: list[Pair] = []
        self._first: float | None = None  # of the pair whose second run isn't done

    @property
    def decided(self) -> Sequential:
        """What the pairs say."""
        return self.study.decided(self.pairs)

    def next_run(self) -> tuple[int, int] | None:
        """The run to train next, as side and seed, by what is done now; None: it is decided.

        Raises:
            UsageError: A folder holds a run of another config, or one that lacks the metric.
        """
        while len(self.pairs) < self.study.max_seeds and self.decided.decision == "cannot tell":
            seed = len(self.pairs)
            if self._first is None:
                self._first = self.study.number(0, seed)
            if self._first is None:
                return 0, seed
            second = self.study.number(1, seed)
            if second is None:
                return 1, seed
            self.pairs.append(Pair(seed=seed, first=self._first, second=second))
            self._first = None
        return None


def plan_study(
    first: Config,
    second: Config,
    names: tuple[str, str],
    *,
    runs: Path,
    metric: Metric,
    effect: float,
    max_seeds: int,
) -> Study:
    """A study of two configs; nothing is trained or written.

    Raises:
        UsageError: They are the same run, are called the same, or are of several datasets.
    """
    if names[0] == names[1]:
        raise UsageError(f"both configs are called {names[0]!r}; give one another name")
    differing = {each.name for each in differences(first, second)} - {"run.seed"}
    if not differing:
        raise UsageError(f"{names[0]} and {names[1]} are the same run but for the seed")
    if "run.dataset" in differing:
        raise UsageError("the configs are of two datasets; errors on them can't be compared")
    return Study(
        configs=(first, second),
        names=names,
        runs=runs,
        metric=metric,
        effect=effect,
        max_seeds=max_seeds,
    )
