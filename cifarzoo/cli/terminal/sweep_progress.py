"""What a sweep says while its cells are trained: a live view, or a line a cell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text
from cifarzoo.cli.terminal.units import duration, percent, plural
from cifarzoo.results.comparing.groups import Metric
from cifarzoo.sweeps.plan import Cell
from cifarzoo.sweeps.reckoning import seconds_left, trained_seconds
from cifarzoo.sweeps.scheduler import CellEvent
from cifarzoo.sweeps.states import epochs_done, standing

REFRESH_SECONDS = 1.0
RECKON_SECONDS = 10.0
BAR = 24  # characters
MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "stopped": ("■", "yellow")}


class SweepProgress(AbstractContextManager["SweepProgress"]):
    """Says how far the cells of a sweep are.

    Args:
        cells: All cells of the sweep; more may come.
        metric: Number of a run that is shown.
        jobs: Number of cells that are trained side by side.
        expected: Number of cells that there will be; None: those.
        hint: What Ctrl-C does.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        metric: Metric,
        jobs: int,
        expected: int | None = None,
        *,
        hint: str = "Ctrl-C saves and stops",
    ) -> None:
        self._expected = expected or len(cells)
        self._cells = list(cells)
        self._metric = metric
        self._jobs = jobs
        self._hint = hint
        self._ended = {cell.name for cell in cells if standing(cell).state == "done"}
        self._live = (
            Live(console=console.messages(), auto_refresh=False, transient=True)
            if console.is_live()
            else None
        )
        self._next_refresh = self._next_reckoning = 0.0
        self._left: float | None = None

    def __enter__(self) -> Self:
        """Show the view."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the view away."""
        if self._live:
            self._live.stop()

    def __call__(self, event: CellEvent) -> None:
        """Say what became of a cell."""
        name = event.cell.name
        if name not in {cell.name for cell in self._cells}:
            self._cells.append(event.cell)
        if event.what in ("done", "failed", "stopped"):
            self._ended.add(name)
        if event.what == "started" and self._live:
            return
        self._say(self._line(event))

    def refresh(self, running: Sequence[Cell]) -> None:
        """Draw the cells that are being trained."""
        now = time.monotonic()
        if self._live is None or now < self._next_refresh:
            return
        self._next_refresh = now + REFRESH_SECONDS
        if now >= self._next_reckoning:
            self._next_reckoning = now + RECKON_SECONDS
            self._left = seconds_left(self._cells, trained_seconds(self._cells))
        table = Table.grid(padding=(0, 2))
        for cell in running:
            done, epochs = epochs_done(cell)
            bar = ProgressBar(total=max(1, epochs), completed=done, width=BAR)
            text = f"epoch {done}/{epochs}" if epochs else "starting"
            table.add_row(Text(cell.name, style="cyan"), bar, Text(text, style="dim"))
        num, of = len(self._ended), max(self._expected, len(self._cells))
        left = f", about {duration(self._left / self._jobs)} left" if self._left else ""
        head = f"{num} of {plural(of, 'cell')} ended{left}; {self._hint}"
        self._live.update(Group(table, Text(head, style="dim")), refresh=True)

    def _line(self, event: CellEvent) -> list[tuple[str, str]]:
        counted = f"[{len(self._ended)}/{max(self._expected, len(self._cells))}] "
        parts = [(counted, "dim"), (event.cell.name, "cyan")]
        match event.what:
            case "done":
                parts += [(": ", ""), self._numbers(event)]
            case "failed":
                parts += [(": ", ""), (event.problem, "red")]
            case "stopped":
                parts += [(": stopped, with all saved", "")]
            case "elsewhere":
                parts += [(": another process trains it", "dim")]
            case "started":
                is_new = event.standing.state == "waiting"
                parts += [(" starts" if is_new else " goes on", "dim")]
        return parts

    def _numbers(self, event: CellEvent) -> tuple[str, str]:
        record = event.standing.record
        number = record.get(self._metric)
        shown = "no " + self._metric if number is None else percent(number)
        return f"{shown}, {duration(float(record.get('train_seconds') or 0))}", "green"

    def _say(self, parts: Sequence[tuple[str, str]]) -> None:
        text = Text.assemble(*parts)
        (self._live.console if self._live else console.messages()).print(text, soft_wrap=True)
