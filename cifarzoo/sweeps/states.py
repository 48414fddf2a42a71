"""How far each cell of a sweep is, by what its folder holds and by the lock on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from cifarzoo.errors import UsageError
from cifarzoo.run_folders.folder import RunFolder, holds_run
from cifarzoo.sweeps.plan import Cell

State: TypeAlias = Literal["waiting", "running", "interrupted", "done", "failed"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a cell is.

    Attributes:
        state: State of its run; a process that died leaves it ``interrupted``.
        record: What run.json says; empty before the run has begun.
        problem: Why it failed; None: it didn't.
    """

    state: State
    record: Mapping[str, Any]
    problem: str | None = None


def standing(cell: Cell) -> Standing:
    """How far ``cell`` is by now."""
    if not holds_run(cell.folder):
        return Standing(state="waiting", record={})
    folder = RunFolder(cell.folder)
    is_locked = folder.is_locked  # before the record: what it was let go of with is in there then
    try:
        record = folder.record
    except UsageError as error:
        return Standing(state="failed", record={}, problem=str(error))
    if is_locked:
        return Standing(state="running", record=record)
    match record.get("status"):
        case None:
            state: State = "interrupted" if folder.has_begun else "waiting"
        case "done":
            state = "done"
        case "failed" | "diverged" | "refused":
            state = "failed"
        case _:
            state = "interrupted"
    problem = record.get("error") if state == "failed" else None
    return Standing(state=state, record=record, problem=problem)


def epochs_done(cell: Cell) -> tuple[int, int]:
    """The epochs that a cell has done, and those it is to do; 0 of 0: that isn't known yet."""
    try:
        lines = RunFolder(cell.folder).metrics()
    except (OSError, UsageError):
        return 0, 0
    last = lines[-1] if lines else {}
    return last.get("epoch") or 0, last.get("epochs") or 0
