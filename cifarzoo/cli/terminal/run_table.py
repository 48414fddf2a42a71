"""Runs on a terminal or in a paper: a row each, with the columns that people look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
CUT = ("differs", "name", "config", "tags", "id", "status")
NARROWEST = 11  # characters of a column that is cut
LEFT_OUT = ("tags", "time", "name", "age")  # where texts that are cut don't suffice, in this order
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
    """Print a line a run; on a terminal texts are cut and columns left out, so that it fits."""
    records = shown_records(runs)
    columns = {n: [n, *(records.cell(row, n) for row in records.rows)] for n in records.columns}
    widths = {name: max(map(cell_len, cells)) for name, cells in columns.items()}
    if out.width < console.PIPE_WIDTH:
        widths = _fitting(widths, out.width)
    aligned = [
        list(_aligned(columns[n], width, at_right=n in AT_RIGHT or records.is_numeric(n)))
        for n, width in widths.items()
    ]
    place = [*widths].index("status")
    styles = ["", *(STYLES.get(run.status, "") for run in runs)]
    lines: list[Text] = []
    for style, cells in zip(styles, zip(*aligned, strict=True), strict=True):
        text = Text((" " * GAP).join(cells).rstrip(), style="" if lines else "bold")
        start = sum(len(cell) + GAP for cell in cells[:place])  # letters, of which some are wide
        text.stylize(style, start, start + len(cells[place]))
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


def _fitting(widths: Mapping[str, int], room: int) -> dict[str, int]:
    """Widths at which a line fits: texts are cut, the longest first, then columns left out.

    Args:
        widths: Characters of each whole column.
        room: Characters of a line.
    """
    for number in range(len(LEFT_OUT) + 1):
        fitting = {name: w for name, w in widths.items() if name not in LEFT_OUT[:number]}
        while _length(fitting) > room:
            cut = [name for name in CUT if fitting.get(name, 0) > NARROWEST]
            if not cut:
                break
            fitting[max(cut, key=fitting.__getitem__)] -= 1
        if _length(fitting) <= room:
            break
    return fitting


def _length(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _aligned(cells: Iterable[str], width: int, *, at_right: bool) -> Iterator[str]:
    for cell in cells:
        length = cell_len(cell)
        if length > width:
            yield set_cell_size(cell, width - 1) + "…"
        else:
            blanks = " " * (width - length)
            yield blanks + cell if at_right else cell + blanks
