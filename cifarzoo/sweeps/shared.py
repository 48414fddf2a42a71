"""The cells of a sweep shared by hosts with folders of their own: each pulls what none has begun.

A cell is a trial of Optuna's storage that waits to be claimed, which a database does for one host
alone. What a cell came to goes back there, so that each host's table has all of them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cifarzoo.errors import UsageError
from cifarzoo.results.comparing.groups import METRICS
from cifarzoo.sweeps.folders import write_cells
from cifarzoo.sweeps.plan import Cell
from cifarzoo.sweeps.scheduler import CellEvent
from cifarzoo.sweeps.states import Standing, State, standing
from cifarzoo.sweeps.storage import LOOK_SECONDS, Storage, is_had_by, owner

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

CELL, DIGEST, RECORD = "cell", "digest", "record"
KEPT = (*METRICS, "train_seconds", "weights_sha256", "data", "config")
STATES: dict[str, State] = {
    "WAITING": "waiting",
    "RUNNING": "running",
    "COMPLETE": "done",
    "FAIL": "failed",
}


class SharedSource:
    """Cells that no host has begun, one after the other.

    Args:
        cells: Cells of the sweep.
        folder: Folder of this host's runs.
        storage: Where the cells are shared.
        retry: Whether those that have failed, here or elsewhere, are trained again.
    """

    def __init__(
        self, cells: Sequence[Cell], folder: Path, storage: Storage, *, retry: bool
    ) -> None:
        self._cells = {cell.name: cell for cell in cells}
        self._digests = {cell.name: _digest(cell) for cell in cells}
        self._folder = folder
        self._owner = owner(folder)
        self._storage = storage
        self._retry = retry
        self._has_offered = False
        self._mine: set[str] = set()
        self._next_look = 0.0
        self._is_over = False
        self._known: Mapping[str, FrozenTrial] = {}

    def next_cell(self) -> Cell | None:
        """A cell that this host has left unfinished, or that none has begun."""
        if self._is_over or time.monotonic() < self._next_look:
            return None
        cell = self._storage.attempt(self._next)
        if cell is None:
            self._next_look = time.monotonic() + LOOK_SECONDS
        return cell

    def is_finished(self) -> bool:
        """Whether all cells have ended, on whatever host."""
        return self._is_over

    def heard(self, event: CellEvent, /) -> None:
        """Tell the storage how a cell of this host has ended."""
        if event.what == "done":
            self._tell(event.cell.name)
        elif event.what == "failed":
            self._tell(event.cell.name, problem=event.problem)
        elif event.what == "stopped":  # a signal to it alone; else nothing more is asked
            self._mine.discard(event.cell.name)

    def is_hopeless(self, cell: Cell, /) -> bool:  # noqa: ARG002
        """No cell is stopped early."""
        return False

    def standing(self, cell: Cell) -> Standing:
        """How far a cell is, here or elsewhere."""
        trial = self._known.get(cell.name)
        if trial is None or is_had_by(self._owner, trial):
            return standing(cell)
        problem = trial.user_attrs.get("problem") if trial.state.name == "FAIL" else None
        record = trial.user_attrs.get(RECORD) or {}
        return Standing(state=STATES[trial.state.name], record=record, problem=problem)

    def _next(self) -> Cell | None:
        if not self._has_offered:
            self._offer()
        trials = self._look()
        self._storage.touch([trials[name].number for name in self._mine])
        self._storage.give_back_lost(self._owner)
        for name, trial in trials.items():
            is_left = trial.state.name == "RUNNING" and is_had_by(self._owner, trial)
            if name in self._mine or not (is_left or self._claim(trial)):
                continue
            self._mine.add(name)
            write_cells([self._cells[name]], folder=self._folder, replaces=False)
            if standing(self._cells[name]).state != "done":
                return self._cells[name]
            self._tell(name)
        are_over = all(trial.state.is_finished() for trial in trials.values())
        self._is_over = are_over and not self._storage.has_pending
        return None

    def _offer(self) -> None:
        """Have all cells wait that the storage doesn't know, or that are to be tried again."""
        known = self._look()
        for name in self._cells:
            trial = known.get(name)
            if trial is None or (self._retry and trial.state.name == "FAIL"):
                self._storage.enqueue({CELL: name, DIGEST: self._digests[name]})
        self._has_offered = True

    def _look(self) -> dict[str, FrozenTrial]:
        """The trial of each cell that counts: the last of those that failed, else the first.

        Hosts that begin at once may offer a cell twice.
        """
        found: dict[str, FrozenTrial] = {}
        for trial in self._storage.trials():
            name = trial.user_attrs.get(CELL)
            if name not in self._cells:
                continue
            if trial.user_attrs.get(DIGEST) != self._digests[name]:
                raise UsageError(
                    f"{self._storage.shown} has a cell {name} of another config or plugin; give "
                    "--out another name"
                )
            if name not in found or found[name].state.name == "FAIL":
                found[name] = trial
        self._known = found
        return found

    def _claim(self, trial: FrozenTrial) -> bool:
        return trial.state.name == "WAITING" and self._storage.claim(trial.number, self._owner)

    def _tell(self, name: str, *, problem: str = "") -> None:
        number = self._known[name].number
        self._mine.discard(name)
        if problem:
            self._storage.tell(number, "failed", None, {"problem": problem})
            return
        record = standing(self._cells[name]).record
        kept = {each: record[each] for each in KEPT if record.get(each) is not None}
        self._storage.tell(number, "complete", 100 * float(record["test_error"]), {RECORD: kept})


def _digest(cell: Cell) -> str:
    """The SHA-256 (hex) of what makes a cell."""
    parts = [cell.config.text(), *sorted(each.sha256 for each in cell.config.plugin_files())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
