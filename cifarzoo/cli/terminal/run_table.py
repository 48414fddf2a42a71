"""Runs on a terminal or in a paper: a row each, with the columns that people look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text
from cifarzoo.cli.terminal.units import age, duration
from cifarzoo.results.formats import Records
from cifarzoo.results.listed_run import COLUMNS, ListedRun
from cifarzoo.run_folders.liveness import INTERRUPTED, RUNNING, UNKNOWN, UNREADABLE
from cifarzoo.run_folders.summary import DONE

ERRORS = {"error %": "error", "tta %": "tta_error", "val %": "validation_error"}
ORDER = (
    *("id", "name", "config", "tags", "differs", "seed", "epoch"),
    *ERRORS,
    *("status", "age", "time"),
)
ALWAYS = frozenset(ORDER) - {"name", "tags", "tta %", "val %"}  # the rest where any run has one
DECIMALS = dict.fromkeys(ERRORS, 2)
AT_RIGHT = frozenset({"epoch", "age", "time"})
CUT = frozenset({"id", "name", "config", "tags", "differs"})
NARROWEST = 8  # characters of a column that is cut
GAP = 2
STYLES = {
    DONE: "green",
    RUNNING: "cyan",
    UNKNOWN: "cyan",
    INTERRUPTED: "yellow",
    "stopped": "yellow",
    "failed": "red",
    "diverged": "red",
    UNREADABLE: "red",
}


def shown_records(runs: Sequence[ListedRun]) -> Records:
    """What people are shown of runs."""
    rows = tuple(map(_row, runs))
    columns = [name for name in ORDER if name in ALWAYS or any(row[name] for row in rows)]
    return Records(columns=tuple(columns), rows=rows, decimals=DECIMALS)


def print_runs(out: Console, runs: Sequence[ListedRun]) -> None:
    """Print a line a run; on a terminal what differs is cut, so that the line fits."""
    records = shown_records(runs)
    columns = [[n, *(records.cell(row, n) for row in records.rows)] for n in records.columns]
    widths = [max(map(cell_len, column)) for column in columns]
    if out.width < console.PIPE_WIDTH:
        _fit(widths, records.columns, out.width)
    aligned = [
        list(_aligned(column, width, at_right=name in AT_RIGHT or records.is_numeric(name)))
        for name, column, width in zip(records.columns, columns, widths, strict=True)
    ]
    status = records.columns.index("status")
    styles = ["", *(STYLES.get(run.status, "") for run in runs)]
    lines: list[Text] = []
    for style, cells in zip(styles, zip(*aligned, strict=True), strict=True):
        text = Text((" " * GAP).join(cells).rstrip(), style="" if lines else "bold")
        start = sum(widths[:status]) + GAP * status
        text.stylize(style, start, start + widths[status])
        lines.append(text)
    out.print(Text("\n").join(lines), soft_wrap=True)


def _row(run: ListedRun) -> dict[str, Any]:
    epochs = "?" if run.epochs is None else run.epochs
    return {
        "id": run.id,
        "name": run.name,
        "config": run.config,
        "tags": ", ".join(run.tags),
        "differs": " ".join(filter(None, [run.problem, run.differences])),
        "seed": run.seed,
        "epoch": f"{run.epoch}/{epochs}",
        **{heading: COLUMNS[column](run) for heading, column in ERRORS.items()},
        "status": run.status_words,
        "age": age(run.age),
        "time": "" if run.train_seconds is None else duration(run.train_seconds),
    }


def _fit(widths: list[int], names: Sequence[str], room: int) -> None:
    """Cut the columns that can be cut until a line fits, the longest first."""
    room -= GAP * (len(widths) - 1)
    places = [place for place, name in enumerate(names) if name in CUT]
    while sum(widths) > room:
        longest = max(places, key=widths.__getitem__)
        if widths[longest] <= NARROWEST:
            return
        widths[longest] -= 1


def _aligned(cells: Iterable[str], width: int, *, at_right: bool) -> Iterator[str]:
    for cell in cells:
        length = cell_len(cell)
        if length > width:
            yield set_cell_size(cell, width - 1) + "…"
        else:
            blanks = " " * (width - length)
            yield blanks + cell if at_right else cell + blanks
