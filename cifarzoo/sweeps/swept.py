"""Sweeps from Python: ``sweep``, and what it gives."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifarzoo.api.frames import data_frame
from cifarzoo.api.reopening import data_folder
from cifarzoo.components.user_paths import expanded
from cifarzoo.config.python_values import from_python
from cifarzoo.config.values import written
from cifarzoo.errors import ConfigError, StoppedError, UsageError
from cifarzoo.results.comparing.comparison import ComparedRuns, compare
from cifarzoo.results.comparing.groups import Metric
from cifarzoo.sweeps import training
from cifarzoo.sweeps.outcome import SweepOutcome, outcome_of
from cifarzoo.sweeps.plan import Asked
from cifarzoo.sweeps.scheduler import CellEvent, ListSource, train_cells
from cifarzoo.sweeps.variations import Variation

Configs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a sweep has come to; ``cifarzoo.sweep`` makes it.

    Attributes:
        folder: Folder of the sweep.
        outcome: Outcome of each point: ``outcome.points`` have ``numbers`` by seed, ``mean``,
            ``sd``, and of their ``point`` the ``name`` and ``values``.
    """

    folder: Path
    outcome: SweepOutcome

    @property
    def problems(self) -> dict[str, str]:
        """Why cells failed, by name of the cell."""
        return self.outcome.problems

    def compare(self, baseline: str | None = None) -> ComparedRuns:
        """The points against one of them: see ``cifarzoo.compare``.

        Args:
            baseline: Name of the point that the others are compared with; None: the first.
        """
        names = [self.folder / each.point.name for each in self.outcome.points if each.numbers]
        return compare(*names, metric=self.outcome.metric, baseline=baseline)

    def to_pandas(self) -> Any:
        """A row a cell that is done, as a ``pandas.DataFrame``.

        Raises:
            UsageError: pandas isn't installed.
        """
        rows = [
            {
                "config": each.point.config_name,
                **each.point.values,
                "seed": seed,
                self.outcome.metric: number,
            }
            for each in self.outcome.points
            for seed, number in each.numbers.items()
        ]
        return data_frame(rows, of="sweep", instead="outcome.points has the same numbers")


def sweep(
    configs: Configs,
    *,
    out: str | os.PathLike[str],
    vary: Mapping[str, Sequence[Any]] | None = None,
    seeds: int | Sequence[int] = 1,
    set: Mapping[str, Any] | None = None,  # noqa: A002  # as the command line's --set
    plugins: Sequence[str | os.PathLike[str]] = (),
    jobs: int | None = None,
    threads: int | None = None,
    data: str | os.PathLike[str] | None = None,
    retry: bool = False,
    retrain_changed: bool = False,
    metric: Metric = "test_error",
    progress: bool | Callable[[CellEvent], object] = True,
) -> Swept:
    """Train every combination of configs, values and seeds, as ``cifarzoo sweep`` does.

    The same call goes on: cells that are done are skipped, interrupted ones are resumed. Each cell
    is a process of its own, so that components of this script or notebook are not known there.

    Args:
        configs: Path of a config, or name of a recipe; or several of them.
        out: Folder of the sweep.
        vary: Values by name of the setting, Python's, such as ``{"sgd.lr": [0.03, 0.1],
            "run.regularizers": [[], ["@mixup"]]}``: all combinations.
        seeds: How many, or which.
        set: Values of all cells, by name; see ``cifarzoo.train``.
        plugins: Plugin files.
        jobs: Cells that are trained side by side; None: one a GPU, or one.
        threads: Threads of a cell on a CPU; None: an equal share of the cores, or as many as when
            the sweep was begun.
        data: Folder of the data; None: that of ``CIFARZOO_DATA``, if it is set.
        retry: Whether cells that have failed are trained again.
        retrain_changed: Whether cells are trained anew whose config or whose cifarzoo has changed.
        metric: Number of a run that is looked at.
        progress: Whether a line is printed of each cell; or a function that is called with each
            event.

    Returns:
        What the cells have come to; those that have failed are in its ``problems``.

    Raises:
        KeyboardInterrupt: Ctrl-C stopped it; all is saved, and the same call goes on.
        StoppedError: Another signal did.
        ConfigProblemsError: A config or a value can't be used: all problems, a line each.
        UsageError: Another argument can't be used, or folders hold runs of another config.
    """
    folder = expanded(out)
    asked = _asked(configs, vary or {}, seeds, set or {}, plugins)
    planned = training.plan_sweep(asked, folder, data=data_folder(data), replaces=retrain_changed)
    for note in planned.notes:
        warnings.warn(note, stacklevel=2)
    slots = training.plan_slots(
        folder, jobs=jobs, threads=threads, nproc=None, data=data_folder(data), emit=_warn
    )
    training.begin(planned, slots, replaces=retrain_changed)
    emit = progress if callable(progress) else _print_event if progress else _say_nothing
    signal = train_cells(
        ListSource(planned.cells, retry=retry), slots, emit, refresh=lambda _: None
    )
    if signal == "SIGINT":
        raise KeyboardInterrupt(f"stopped; cifarzoo.sweep(…, out={str(folder)!r}) goes on")
    if signal:
        raise StoppedError(f"stopped by {signal}; the same call goes on", signal=signal)
    return Swept(folder=folder, outcome=outcome_of(planned.cells, metric))


def _asked(
    configs: Configs,
    vary: Mapping[str, Sequence[Any]],
    seeds: int | Sequence[int],
    values: Mapping[str, Any],
    plugins: Sequence[str | os.PathLike[str]],
) -> Asked:
    several = [configs] if isinstance(configs, str | os.PathLike) else list(configs)
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or min(chosen) < 0 or len({*chosen}) < len(chosen):
        raise UsageError(f"seeds is {seeds!r}; expected how many, or which, each once")
    if not several:
        raise UsageError("configs is empty; expected a config or several")
    for name, each in vary.items():
        if isinstance(each, str) or not isinstance(each, Sequence) or not each:
            raise UsageError(f"vary[{name!r}] is {each!r}; expected a list of values")
    return Asked(
        configs=tuple(os.fspath(each) for each in several),
        sets=tuple(f"{name}={_gin(name, value)}" for name, value in values.items()),
        variations=tuple(
            Variation(name=name, values=tuple(_gin(name, value) for value in each))
            for name, each in vary.items()
        ),
        seeds=tuple(chosen),
        plugins=tuple(Path(plugin) for plugin in plugins),
    )


def _gin(name: str, value: Any) -> str:
    try:
        return written(from_python(value))
    except ConfigError as error:
        raise UsageError(f"{name}{error}") from error


def _print_event(event: CellEvent) -> None:
    print(event)  # noqa: T201  # notebooks show it


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _say_nothing(_event: CellEvent) -> None:
    pass
