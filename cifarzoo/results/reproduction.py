"""Rows of the published tables as runs of one's own: their configs, their folders, their results.

The runs of a row lie in ``<runs>/reproduce/<table>/<row>/<budget>/seed<N>``, each an ordinary
run's folder: the files there are all that is known of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cifarzoo import config
from cifarzoo.api.identity import compare, holds
from cifarzoo.config import Config
from cifarzoo.config.budgets import Budget, shortened
from cifarzoo.config.files import packaged_recipe
from cifarzoo.data.catalogue import CATALOGUE
from cifarzoo.data.damage import MissingError
from cifarzoo.errors import UsageError
from cifarzoo.results.statistics import Comparison, compare_with_published, variance_of
from cifarzoo.results.tables import Row
from cifarzoo.run_folders.folder import CONFIG, RunFolder

if TYPE_CHECKING:
    from cifarzoo.results.variance import VarianceSplit

FOLDER = "reproduce"
ON_GLYPHS = "smoke-glyphs"
GLYPHS = ("run.dataset=@glyphs", "glyphs.train_images=128", "glyphs.test_images=128")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One seed of a row, as its folder has it.

    Attributes:
        seed: Seed of the run.
        folder: Folder of the run.
        status: State of the run: ``done``, ``stopped``, ``running``, ``failed`` or ``diverged``;
            ``new`` before its first step.
        error: Test error in percent after the last epoch; None: it isn't done.
        data: Title of the dataset it was trained on, if it is known.
    """

    seed: int
    folder: RunFolder
    status: str
    error: float | None
    data: str | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the finished seeds of a row allow to be said.

    Attributes:
        row: Published row.
        budget: Length of the runs.
        done: Finished seeds.
        comparison: Comparison of their errors with the published one; None before one is done.
        verdict: Conclusion in words.
        split: What the test images give of the seeds' spread, and what differs in distribution;
            None: there are fewer than five seeds, or it can't be told.
        not_split: Why it can't be told, in words; None: it is, or there are fewer seeds.
    """

    row: Row
    budget: Budget
    done: tuple[Attempt, ...]
    comparison: Comparison | None
    verdict: str
    split: VarianceSplit | None = None
    not_split: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The seeds of a row that are to be run, with their configs.

    Attributes:
        row: Published row that is reproduced.
        budget: Length of the training.
        config: Config of the training, whatever its seed.
        configs: Config of each seed.
        runs: Folder that runs go to.
        kind: Name of the folder of these runs: the budget, or ``smoke-glyphs``.
    """

    row: Row
    budget: Budget
    config: Config
    configs: Mapping[int, Config]
    runs: Path
    kind: str

    def folder(self, seed: int) -> Path:
        """Where the run of ``seed`` lies."""
        return folder_of(self.runs, self.row, self.kind, seed)

    def waiting(self) -> list[int]:
        """The seeds that aren't done.

        Raises:
            UsageError: A folder of one holds a run of another config.
        """
        return [
            seed
            for seed, loaded in self.configs.items()
            if not (
                holds(self.folder(seed), loaded)
                and RunFolder(self.folder(seed)).record.get("status") == "done"
            )
        ]

    def outcome(self) -> tuple[Outcome, list[int]]:
        """What all finished seeds of the row say, and those that were run with other settings."""
        from cifarzoo.results.spread import spread_of  # NumPy: see _is_there

        finished = [each for each in attempts(self.runs, self.row, self.kind) if _is_done(each)]
        own = [each for each in finished if self._is_own(each)]
        others = [each.seed for each in finished if each not in own]
        found = outcome(self.row, self.budget, own)
        runs = {attempt.seed: attempt.folder for attempt in found.done}
        split, not_split = spread_of(runs, has_views=self.row.tta)
        return replace(found, split=split, not_split=not_split), others

    def _is_own(self, attempt: Attempt) -> bool:
        try:
            return not compare(attempt.folder, _with_seed(self.config, attempt.seed)).values
        except UsageError:  # it has components, or a damaged file, that this config can't read
            return False


def plan_reproduction(
    row: Row,
    seeds: Sequence[int],
    *,
    budget: Budget,
    sets: Sequence[str] = (),
    data: Path | None,
    runs: Path,
) -> Reproduction:
    """Read and check all that is to be run of a row; nothing is trained or written.

    A smoke test does without the row's dataset where it isn't there: with drawn shapes.

    Args:
        row: Published row to reproduce.
        seeds: Seeds to run.
        budget: Length of the training.
        sets: Settings, ``NAME=VALUE`` each, beside what the row sets.
        data: Folder of the datasets, or None.
        runs: Folder that runs go to.

    Raises:
        UsageError: The row can't be run: what it lacks.
        ConfigProblemsError: ``sets`` don't fit.
        DataError: The dataset is there, and damaged.
    """
    on_glyphs = budget == "smoke" and not _is_there(row.dataset, data)
    trained = config_of(row, budget, (*sets, *(GLYPHS if on_glyphs else ())))
    return Reproduction(
        row=row,
        budget=budget,
        config=trained,
        configs={seed: _with_seed(trained, seed) for seed in seeds},
        runs=runs,
        kind=ON_GLYPHS if on_glyphs else budget,
    )


def config_of(row: Row, budget: Budget, sets: Sequence[str] = ()) -> Config:
    """The config that trains ``row``, with the recipe's own seed; see ``plan_reproduction``."""
    if row.recipe is None:
        raise UsageError(f"{row.path} cannot be run yet: it lacks {row.lacks}")
    recipe = packaged_recipe(row.recipe)
    return shortened(config.load(recipe, sets=[*row.sets, *sets]), budget)


def folder_of(runs: Path, row: Row, kind: str, seed: int) -> Path:
    """Where the run of a seed lies among ``runs``; ``kind`` is its budget or ``smoke-glyphs``."""
    return runs / FOLDER / row.table / row.name / kind / f"seed{seed}"


def attempts(runs: Path, row: Row, kind: str) -> list[Attempt]:
    """The seeds of ``row`` that were begun, by number."""
    found = folder_of(runs, row, kind, 0).parent.glob(f"seed*/{CONFIG}")
    numbers = {path.parent.name.removeprefix("seed"): path.parent for path in found}
    seeds = sorted(int(number) for number in numbers if number.isdecimal())
    return [_attempt(seed, numbers[str(seed)], row) for seed in seeds if str(seed) in numbers]


def outcome(row: Row, budget: Budget, tried: Sequence[Attempt]) -> Outcome:
    """What the finished seeds among ``tried`` say of ``row``."""
    done = tuple(filter(_is_done, tried))
    errors = [attempt.error for attempt in done if attempt.error is not None]
    if not errors:
        return Outcome(row=row, budget=budget, done=(), comparison=None, verdict="not run")
    comparison = compare_with_published(
        errors, float(row.error), spread=_spread(row), rounding=_last_digit(row) / 2
    )
    verdict = _incomparable(row, budget, done) or _verdict(comparison)
    return Outcome(row=row, budget=budget, done=done, comparison=comparison, verdict=verdict)


def _with_seed(trained: Config, seed: int) -> Config:
    return trained.with_values({"run.seed": seed}, location=f"seed {seed}")


def _is_there(dataset: str, data: Path | None) -> bool:
    from cifarzoo.data.opening import open_published  # NumPy, for which other commands don't wait

    published = CATALOGUE[dataset]
    if data is not None:
        with suppress(MissingError):
            open_published(published, data, labelling=published.labellings[0])
            return True
    return False


def _is_done(attempt: Attempt) -> bool:
    return attempt.error is not None


def _attempt(seed: int, path: Path, row: Row) -> Attempt:
    folder = RunFolder(path)
    try:
        record = folder.record
    except UsageError:  # one run's broken file must not hide the others
        record = {"status": "unreadable"}
    error = record.get("tta_test_error" if row.tta else "test_error")
    is_done = record.get("status") == "done"
    return Attempt(
        seed=seed,
        folder=folder,
        status=record.get("status", "new"),
        error=100 * error if is_done and error is not None else None,
        data=record.get("data", {}).get("title"),
    )


def _spread(row: Row) -> float:
    """The variance of the published number, in units of one run's."""
    if row.n is None or row.rule not in ("mean", "median"):
        return variance_of("one run", 1)
    return variance_of(row.rule, row.n)


def _last_digit(row: Row) -> float:
    """A unit of the last digit that was published."""
    exponent = row.error.as_tuple().exponent
    return float(10.0**exponent) if isinstance(exponent, int) else 0.0


def _incomparable(row: Row, budget: Budget, done: Sequence[Attempt]) -> str | None:
    """Why no verdict is possible, whatever the numbers are."""
    if budget == "smoke":
        return "a smoke test of two steps: its error means nothing"
    if budget == "short":
        return "a twentieth of the epochs: not the published training"
    titles = sorted({attempt.data or "unknown data" for attempt in done})
    if titles != [CATALOGUE[row.dataset].title]:
        return f"cannot tell: trained on {' and '.join(titles)}"
    return None


def _verdict(comparison: Comparison) -> str:
    if comparison.verdict == "cannot tell":
        return "one seed: cannot tell"
    if comparison.verdict == "differs":
        direction = "higher" if comparison.difference > 0 else "lower"
        return f"differs: ours is {abs(comparison.difference):.2f} points {direction}"
    return "within the interval"
