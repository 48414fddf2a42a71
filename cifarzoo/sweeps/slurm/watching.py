"""What becomes of cells that SLURM has queued, until all have ended or nobody looks on any more."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from cifarzoo.engine.distributed.signals import StopRequest
from cifarzoo.errors import CifarzooError
from cifarzoo.sweeps.plan import Cell
from cifarzoo.sweeps.scheduler import CellEvent, Listener
from cifarzoo.sweeps.slurm.submission import Queue, log_of
from cifarzoo.sweeps.states import standing

POLL_SECONDS = 0.5
QUEUE_SECONDS = 15.0  # between questions to SLURM, which serves others too
RUNNING = "RUNNING"


class QueuedCells:
    """Cells whose jobs are queued, as seen so far.

    Args:
        cells: Cells of the sweep.
        jobs: Jobs of those that are queued, by name of the cell.
        folder: Folder of the sweep.

    Attributes:
        running: Cells whose jobs are running, by name.
    """

    def __init__(self, cells: Sequence[Cell], jobs: Mapping[str, str], folder: Path) -> None:
        self._waiting = {cell.name: cell for cell in cells if cell.name in jobs}
        self._jobs = jobs
        self._folder = folder
        self.running: dict[str, Cell] = {}

    @property
    def is_over(self) -> bool:
        """Whether no job is queued any more."""
        return not self._waiting

    def look(self, states: Mapping[str, str]) -> Iterator[CellEvent]:
        """What has become of them since the last look.

        Args:
            states: States of queued jobs, by id.
        """
        for name, cell in list(self._waiting.items()):
            state = states.get(self._jobs[name])
            if state is None:
                del self._waiting[name]
                self.running.pop(name, None)
                yield self._ended(cell)
            elif state != RUNNING:
                self.running.pop(name, None)
            elif name not in self.running:
                self.running[name] = cell
                yield CellEvent(cell=cell, what="started", standing=standing(cell))

    def _ended(self, cell: Cell) -> CellEvent:
        found = standing(cell)
        if found.state == "done":
            return CellEvent(cell=cell, what="done", standing=found)
        job = self._jobs[cell.name]
        problem = f"its job {job} has ended; see {log_of(self._folder, job)}"
        return CellEvent(cell=cell, what="failed", standing=found, problem=found.problem or problem)


def watch(
    queued: QueuedCells,
    emit: Listener,
    *,
    queue: Queue,
    warn: Callable[[str], None],
    refresh: Callable[[Sequence[Cell]], None],
    every: float = QUEUE_SECONDS,
) -> str:
    """Look on until no job of the cells is queued, or a signal asks to stop looking.

    Args:
        queued: Cells whose jobs are queued.
        emit: Called with what becomes of each cell.
        queue: Gives the states of queued jobs.
        warn: Receives that SLURM gives no answer, once each time that it stops doing so.
        refresh: Called now and then with the cells that are being trained.
        every: Seconds between questions to SLURM.

    Returns:
        Name of the signal; empty: none came. It touches no job.
    """
    when, problem = 0.0, ""
    with StopRequest() as stop:
        while not queued.is_over and not stop.number:
            if time.monotonic() >= when:
                when = time.monotonic() + every
                try:
                    for event in queued.look(queue()):
                        emit(event)
                    problem = ""
                except CifarzooError as error:
                    if not problem:
                        warn(f"{error}; asked again every {every:.0f} seconds")
                    problem = str(error)
            refresh(list(queued.running.values()))
            time.sleep(POLL_SECONDS)
        return signal.Signals(stop.number).name if stop.number else ""
