"""Trains cells in processes side by side, and says what becomes of them.

Nothing is kept here that the cells' folders don't say: whoever starts the same sweep again, after
whatever end of this process, goes on where it stood. Cells that other processes train are left to
them, and looked at until they are done.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn, Protocol, TypeAlias

from cifarzoo.engine.distributed.signals import StopRequest, end_at_once
from cifarzoo.errors import EXIT_INTERRUPTED, EXIT_STOPPED, EXIT_USAGE
from cifarzoo.sweeps.plan import Cell
from cifarzoo.sweeps.processes import CellProcess, Resources
from cifarzoo.sweeps.states import Standing, standing

POLL_SECONDS = 0.2
ELSEWHERE_SECONDS = 5.0  # between looks at a cell that another process trains
IN_USE = "is in use by another run"  # what a run says whose folder is locked

What: TypeAlias = Literal["started", "done", "failed", "stopped", "elsewhere"]


@dataclass(frozen=True, kw_only=True)
class CellEvent:
    """What became of a cell.

    Attributes:
        cell: Cell that it is about.
        what: Whether its process has started; its run is done, has failed or was stopped; or
            another process trains it.
        standing: How far it is.
        problem: Why it failed, in a line; empty otherwise.
        seconds: Seconds that its process took.
    """

    cell: Cell
    what: What
    standing: Standing
    problem: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        match self.what:
            case "done":
                error = self.standing.record.get("test_error")
                shown = "" if error is None else f": test error {100 * error:.2f} %"
                return f"{self.cell.name}{shown}"
            case "failed":
                return f"{self.cell.name} failed: {self.problem}"
            case "stopped":
                return f"{self.cell.name} stopped, with all saved"
            case "elsewhere":
                return f"{self.cell.name}: another process trains it"
        return f"{self.cell.name} {'starts' if self.standing.state == 'waiting' else 'goes on'}"


class Source(Protocol):
    """Which cells are trained, one after the other."""

    def next_cell(self) -> Cell | None:
        """A cell to be trained now; None: there is none, for now or for good."""

    def is_finished(self) -> bool:
        """Whether ``next_cell`` will give no more."""

    def heard(self, event: CellEvent, /) -> None:
        """Take in what became of a cell."""

    def is_hopeless(self, cell: Cell, /) -> bool:
        """Whether a cell that is being trained had better be stopped; asked now and then."""


Listener: TypeAlias = Callable[[CellEvent], object]


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How many cells are trained side by side, and on what.

    Attributes:
        resources: What the process in each slot may use.
        data: Folder of the data; None: not known.
    """

    resources: tuple[Resources, ...]
    data: Path | None


@dataclass(kw_only=True)
class _Work:
    """What goes on.

    Attributes:
        running: Processes by slot, with when each was started.
        elsewhere: Cells that others train, with when to look again.
    """

    running: dict[int, tuple[CellProcess, float]] = field(default_factory=dict)
    elsewhere: dict[str, tuple[Cell, float]] = field(default_factory=dict)


class ListSource:
    """The cells of a list that aren't done.

    Args:
        cells: Cells in the order in which they are trained.
        retry: Whether those that have failed are trained again.
    """

    def __init__(self, cells: Sequence[Cell], *, retry: bool) -> None:
        self._waiting = list(reversed(cells))
        self._retry = retry

    def next_cell(self) -> Cell | None:
        """The next cell that isn't done, nor has failed."""
        while self._waiting:
            cell = self._waiting.pop()
            state = standing(cell).state
            if state != "done" and (state != "failed" or self._retry):
                return cell
        return None

    def is_finished(self) -> bool:
        """Whether no cell is left."""
        return not self._waiting

    def heard(self, event: CellEvent, /) -> None:
        """Nothing: the list stays as it is."""

    def is_hopeless(self, cell: Cell, /) -> bool:  # noqa: ARG002
        """No cell is stopped early."""
        return False


def train_cells(
    source: Source,
    slots: Slots,
    emit: Listener,
    *,
    refresh: Callable[[Sequence[Cell]], None],
) -> str:
    """Train what ``source`` gives until there is no more, or a signal asks to stop.

    Args:
        source: Cells.
        slots: Processes side by side.
        emit: Called with what becomes of each cell.
        refresh: Called now and then with the cells that are being trained.

    Returns:
        Name of the signal that asked to stop, after all has been saved; empty: none did.
    """
    work = _Work()

    def end_all_at_once() -> NoReturn:
        for process, _ in work.running.values():
            process.kill()
        end_at_once()

    with StopRequest(at_second_interrupt=end_all_at_once) as stop, _ending(work):
        while not stop.number:
            _start(source, slots, work, emit)
            if not work.running and not work.elsewhere and source.is_finished():
                break
            refresh([process.cell for process, _ in work.running.values()])
            time.sleep(POLL_SECONDS)
            _report(source, work, emit)
        for process, _ in work.running.values():
            process.stop()
        while work.running:
            time.sleep(POLL_SECONDS)
            _report(source, work, emit)
        return signal.Signals(stop.number).name if stop.number else ""


def _report(source: Source, work: _Work, emit: Listener) -> None:
    """Say which processes have ended, and stop those that are of no more use."""
    for event in _ended(work):
        source.heard(event)
        emit(event)
    for process, _ in work.running.values():
        if source.is_hopeless(process.cell):
            process.stop()


def _start(source: Source, slots: Slots, work: _Work, emit: Listener) -> None:
    """Fill the free slots."""
    for slot, resources in enumerate(slots.resources):
        if slot in work.running:
            continue
        cell = _one_of_others(work, emit) or source.next_cell()
        if cell is None:
            continue
        found = standing(cell)
        if found.state == "running":
            _leave(cell, work, emit, found)
            continue
        work.running[slot] = (CellProcess(cell, resources, data=slots.data), time.monotonic())
        emit(CellEvent(cell=cell, what="started", standing=found))


def _one_of_others(work: _Work, emit: Listener) -> Cell | None:
    """A cell that another process has left unfinished."""
    now = time.monotonic()
    for name, (cell, when) in list(work.elsewhere.items()):
        if now < when:
            continue
        found = standing(cell)
        if found.state == "running":
            work.elsewhere[name] = (cell, now + ELSEWHERE_SECONDS)
            continue
        del work.elsewhere[name]
        if found.state in ("waiting", "interrupted"):
            return cell
        what: What = "done" if found.state == "done" else "failed"
        emit(CellEvent(cell=cell, what=what, standing=found, problem=found.problem or ""))
    return None


def _leave(cell: Cell, work: _Work, emit: Listener, found: Standing) -> None:
    is_new = cell.name not in work.elsewhere
    work.elsewhere[cell.name] = (cell, time.monotonic() + ELSEWHERE_SECONDS)
    if is_new:
        emit(CellEvent(cell=cell, what="elsewhere", standing=found))


def _ended(work: _Work) -> Iterator[CellEvent]:
    """The processes that have ended since, and what became of their cells."""
    for slot, (process, started) in list(work.running.items()):
        code = process.exit_code()
        if code is None:
            continue
        del work.running[slot]
        cell, words = process.cell, process.last_words()
        process.close()
        found = standing(cell)
        seconds = time.monotonic() - started
        if found.state == "running" or (code == EXIT_USAGE and IN_USE in words):
            _leave(cell, work, lambda _: None, found)
            yield CellEvent(cell=cell, what="elsewhere", standing=found, seconds=seconds)
        elif code == 0 and found.state == "done":
            yield CellEvent(cell=cell, what="done", standing=found, seconds=seconds)
        elif code in (EXIT_STOPPED, EXIT_INTERRUPTED):
            yield CellEvent(cell=cell, what="stopped", standing=found, seconds=seconds)
        else:
            problem = words or found.problem or _in_words(code)
            yield CellEvent(
                cell=cell, what="failed", standing=found, problem=problem, seconds=seconds
            )


def _in_words(code: int) -> str:
    return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


@contextmanager
def _ending(work: _Work) -> Iterator[None]:
    """Leave no process behind, whatever ends this one but kill -9."""
    try:
        yield
    finally:
        for process, _ in work.running.values():
            process.kill()
            process.close()
