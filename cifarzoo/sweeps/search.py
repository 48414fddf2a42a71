"""Values that a sampler chooses by errors on validation images: Optuna's, by ask and tell.

A trial is a point of the sweep, and its runs lie in ``trial0012/seed0`` as those of any point. The
storage knows which trials there are; whether one is being trained, its runs' folders and their
locks say: Optuna's own heartbeats are sent within ``optimize`` alone, so a trial whose process was
killed would be RUNNING for ever. Each names the host and the folder that have it. The objective
is the error on validation images: what the test images say chooses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cifarzoo.config.effective import effective
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.sweeps.folders import write_cells
from cifarzoo.sweeps.plan import Asked, Cell, Point, names_of, plan_cells, point_of
from cifarzoo.sweeps.scheduler import CellEvent
from cifarzoo.sweeps.states import standing
from cifarzoo.sweeps.storage import LOOK_SECONDS, End, Sampler, Storage, is_had_by, owner

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

CONFIG = "config"
OBJECTIVE = "validation_error"


@dataclass(frozen=True, kw_only=True)
class Search:
    """How values are chosen.

    Attributes:
        sampler: Name of the sampler.
        seed: Seed of the sampler.
        trials: Number of trials, over all hosts.
        prunes: Whether trials are stopped that are worse than the median at the same epoch.
    """

    sampler: Sampler
    seed: int
    trials: int
    prunes: bool


@dataclass(kw_only=True)
class _Active:
    """A trial that this process has.

    Attributes:
        number: Number of the trial.
        cells: Cells of the trial, a seed each.
        waiting: Those that weren't begun by this process.
        reported: Epochs of the first seed that the storage knows.
        is_pruned: Whether it is to be stopped.
        next_look: When its epochs are looked at again, by ``time.monotonic``.
        failed: Why a cell failed; empty: none did.
    """

    number: int
    cells: list[Cell]
    waiting: list[Cell]
    reported: int = 0
    is_pruned: bool = False
    next_look: float = 0.0
    failed: str = ""


def check_search(asked: Asked, points: list[Point]) -> None:
    """Refuse a search without validation images.

    Raises:
        UsageError: A config keeps none.
    """
    if not asked.variations:
        raise UsageError("--search has nothing to search; say what by --vary NAME=LOW..HIGH")
    for point in points:
        kept = effective(point.config, "run.validation_images")
        if kept is None or not kept.value:
            raise UsageError(
                f"{point.config_name} keeps no validation images, and the test images must not "
                "choose; say how many, as -s run.validation_images=5000"
            )


def end_points(asked: Asked) -> list[Point]:
    """The points at both ends of every range, and of every value of the other settings."""
    most = max((len(each.values) for each in asked.variations), default=1)
    sources = asked.configs
    names_of(sources)
    return [
        point_of(
            asked,
            source,
            [each.values[min(k, len(each.values) - 1)] for each in asked.variations],
            name=f"end{k}",
        )
        for source in sources
        for k in range(most)
    ]


class SearchSource:
    """Cells of trials, asked for one after the other.

    Args:
        asked: What the sweep was asked for.
        folder: Folder of the sweep.
        search: How values are chosen.
        storage: Where trials are kept.
        emit: Receives what should be known, a line each.

    Attributes:
        asked: What the sweep was asked for.
        folder: Folder of the sweep.
    """

    def __init__(
        self,
        asked: Asked,
        folder: Path,
        search: Search,
        storage: Storage,
        emit: Callable[[str], None],
    ) -> None:
        self.asked = asked
        self.folder = folder
        self._owner = owner(folder)
        self._search = search
        self._storage = storage
        self._emit = emit
        self._active: dict[int, _Active] = {}
        self._adopted = False
        self._next_look = 0.0
        self._is_over = False

    def next_cell(self) -> Cell | None:
        """A cell of a trial of ours that isn't done, or of a new trial."""
        for trial in list(self._active.values()):
            while trial.waiting and not trial.is_pruned:
                cell = trial.waiting.pop(0)
                if standing(cell).state != "done":
                    return cell
                self._settle(trial)
        if self._is_over or time.monotonic() < self._next_look:
            return None
        found = self._storage.attempt(self._next)
        if found is None:
            self._next_look = time.monotonic() + LOOK_SECONDS
        return found

    def is_finished(self) -> bool:
        """Whether all trials have ended, on whatever host."""
        return self._is_over

    def heard(self, event: CellEvent, /) -> None:
        """Tell the storage of a trial whose cells have ended."""
        trial = self._trial_of(event.cell)
        if trial is None:
            return
        if event.what == "failed":
            trial.failed = event.problem
        if event.what == "stopped" and not trial.is_pruned:
            trial.waiting.append(event.cell)  # a signal to it alone; else nothing more is asked
            return
        self._settle(trial)

    def is_hopeless(self, cell: Cell, /) -> bool:
        """Whether a trial is worse than the median of the others at the same epoch."""
        trial = self._trial_of(cell)
        if trial is None or not self._search.prunes:
            return False
        if trial.is_pruned:
            return True
        if cell is not trial.cells[0] or time.monotonic() < trial.next_look:
            return False
        trial.next_look = time.monotonic() + LOOK_SECONDS
        return bool(self._storage.attempt(lambda: self._look(trial)))

    def cells(self) -> list[Cell]:
        """The cells of all trials that lie in this folder."""
        found = []
        for trial in self._storage.trials():
            if is_had_by(self._owner, trial) and not trial.user_attrs.get("lost"):
                found += self._cells(trial)
        return found

    def _next(self) -> Cell | None:
        self._storage.touch([*self._active])
        if not self._adopted:
            self._adopt()
            return self.next_cell()
        self._storage.give_back_lost(self._owner)
        counted = self._counted()
        if len(counted) < self._search.trials:
            self._begin(self._storage.ask(self._distributions(), self._owner))
            return self.next_cell()
        # Those of other hosts too, so that all of them name the same best one.
        are_over = all(trial.state.is_finished() for trial in counted)
        self._is_over = are_over and not self._storage.has_pending
        return None

    def _look(self, trial: _Active) -> bool:
        """Report the epochs that a trial has done since, and ask whether it is to go on."""
        lines = RunFolder(trial.cells[0].folder).metrics()[trial.reported :]
        for line in lines:
            if line.get(OBJECTIVE) is not None:
                self._storage.report(trial.number, line["epoch"], 100 * line[OBJECTIVE])
            trial.reported += 1
        trial.is_pruned = bool(lines) and self._storage.should_prune(trial.number)
        return trial.is_pruned

    @property
    def facts(self) -> dict[str, Any]:
        """What is worth noting of how values are chosen."""
        return {
            **asdict(self._search),
            "optuna": version("optuna"),
            "objective": OBJECTIVE,
            "storage": self._storage.shown,
        }

    @property
    def expected(self) -> int:
        """Number of cells that there will be, over all hosts."""
        return self._search.trials * len(self.asked.seeds)

    def pruned(self) -> int:
        """Number of trials that were stopped early."""
        return sum(trial.state.name == "PRUNED" for trial in self._storage.trials())

    def best(self) -> dict[str, Any] | None:
        """The trial of the lowest objective, with its test error; None: none is complete."""
        done = [each for each in self._storage.trials() if each.state.name == "COMPLETE"]
        if not done:
            return None
        trial = min(done, key=lambda each: (each.value, each.number))
        return {
            "trial": _name(trial.number),
            "value": trial.value,
            "values": {name: written(value) for name, value in trial.params.items()},
            "test_error": trial.user_attrs.get("test_error"),
            "host": trial.user_attrs.get("host"),
        }

    def _trial_of(self, cell: Cell) -> _Active | None:
        for trial in self._active.values():
            if any(each.name == cell.name for each in trial.cells):
                return trial
        return None

    def _settle(self, trial: _Active) -> None:
        """Tell what a trial came to, once nothing of it is left."""
        found = [standing(cell) for cell in trial.cells]
        numbers = [each.record.get(OBJECTIVE) for each in found if each.state == "done"]
        if trial.is_pruned:
            if all(each.state != "running" for each in found):
                self._tell(trial, "pruned", None)
        elif trial.failed:
            if all(each.state != "running" for each in found):
                self._tell(trial, "failed", None)
        elif len(numbers) == len(trial.cells):
            tested = 100 * fmean(float(each.record["test_error"]) for each in found)
            mean = 100 * fmean(float(number or 0) for number in numbers)
            self._tell(trial, "complete", mean, test_error=tested)

    def _tell(self, trial: _Active, end: End, value: float | None, **facts: Any) -> None:
        del self._active[trial.number]
        if trial.failed:
            facts["problem"] = trial.failed
        self._storage.tell(trial.number, end, value, facts)

    def _adopt(self) -> None:
        """Go on with the trials that a process of this folder left unfinished."""
        for trial in self._storage.trials():
            if trial.state.name == "RUNNING" and is_had_by(self._owner, trial):
                self._begin(trial)
        self._adopted = True

    def _begin(self, trial: FrozenTrial) -> None:
        cells = self._cells(trial)
        write_cells(cells, folder=self.folder, replaces=False)
        active = _Active(number=trial.number, cells=cells, waiting=[*cells])
        self._active[trial.number] = active
        self._settle(active)

    def _cells(self, trial: FrozenTrial) -> list[Cell]:
        values = [written(trial.params[each.name]) for each in self.asked.variations]
        source = trial.params.get(CONFIG, self.asked.configs[0])
        point = point_of(self.asked, source, values, name=_name(trial.number))
        return plan_cells([point], self.asked.seeds, self.folder)

    def _counted(self) -> list[FrozenTrial]:
        """The trials that count: none whose host was lost, or killed before it named itself."""
        return [
            trial
            for trial in self._storage.trials()
            if trial.state.name != "WAITING"
            and not trial.user_attrs.get("lost")
            and not (trial.state.name == "RUNNING" and "host" not in trial.user_attrs)
        ]

    def _distributions(self) -> Mapping[str, BaseDistribution]:
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        found: dict[str, BaseDistribution] = {}
        if len(self.asked.configs) > 1:
            found[CONFIG] = CategoricalDistribution(self.asked.configs)
        for each in self.asked.variations:
            span = each.range
            if span is None:
                found[each.name] = CategoricalDistribution(each.values)
            elif span.is_integer:
                found[each.name] = IntDistribution(int(span.low), int(span.high), log=span.is_log)
            else:
                found[each.name] = FloatDistribution(span.low, span.high, log=span.is_log)
        return found


def _name(number: int) -> str:
    return f"trial{number:04}"


def written(value: Any) -> str:
    """A parameter of a trial in gin's words: numbers as Python writes them, choices as given."""
    return value if isinstance(value, str) else repr(value)
