"""What a sweep has come to, on a terminal and as records."""

from __future__ import annotations

from typing import Any

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.records_table import print_records
from cifarzoo.cli.terminal.units import plural
from cifarzoo.results.formats import Format, Records
from cifarzoo.sweeps.outcome import PointOutcome, SweepOutcome
from cifarzoo.sweeps.states import State

STATES: tuple[State, ...] = ("running", "interrupted", "waiting", "failed")


def print_outcome(outcome: SweepOutcome, format: Format) -> None:  # noqa: A002  # as the option
    """Print a row a point; for people, rows by columns where two things are varied."""
    axes = outcome.axes
    is_grid = len(axes) == 2 and format != "csv"
    print_records(_grid(outcome, *axes) if is_grid else _list(outcome), format)


def print_states(outcome: SweepOutcome) -> None:
    """Say on stderr what isn't done, and why cells failed."""
    for note in outcome.notes:
        console.warn(note)
    for name, problem in outcome.problems.items():
        console.warn(f"{name} failed: {problem}")
    if problems := outcome.problems:
        console.note(f"--retry trains {plural(len(problems), 'failed cell')} again")
    counts = [f"{outcome.states[state]} {state}" for state in STATES if outcome.states[state]]
    if counts:
        console.note(f"{outcome.states['done']} done, {', '.join(counts)}")


def _list(outcome: SweepOutcome) -> Records:
    axes = outcome.axes
    rows = []
    for each in outcome.points:
        row: dict[str, Any] = {axis: outcome.place(each.point, axis) for axis in axes}
        if not axes:
            row["config"] = each.point.config_name
        rows.append({**row, "mean": each.mean, "sd": each.sd, "n": len(each.numbers)})
    return Records(
        columns=(*(axes or ["config"]), "mean", "sd", "n"),
        rows=tuple(rows),
        decimals={"mean": 2, "sd": 2},
    )


def _grid(outcome: SweepOutcome, down: str, across: str) -> Records:
    rows: dict[str, dict[str, Any]] = {}
    columns: dict[str, None] = {}
    for each in outcome.points:
        column = outcome.place(each.point, across)
        columns[column] = None
        row = outcome.place(each.point, down)
        rows.setdefault(row, {down: row})[column] = _cell(each)
    return Records(columns=(down, *columns), rows=tuple(rows.values()))


def _cell(each: PointOutcome) -> str | None:
    if each.mean is None:
        return None
    if each.sd is None:
        return f"{each.mean:.2f}"
    return f"{each.mean:.2f} ± {each.sd:.2f} ({len(each.numbers)})"
