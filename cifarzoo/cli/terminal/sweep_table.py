"""What a sweep has come to, on a terminal and as records."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import Any

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.records_table import print_records
from cifarzoo.cli.terminal.units import plural
from cifarzoo.results.formats import Format, Records
from cifarzoo.sweeps.outcome import PointOutcome, SweepOutcome
from cifarzoo.sweeps.states import State

MOST_TRIALS = 10  # of a search, on a terminal
DIGITS = 4  # of a number that was drawn
DECIMALS = {"mean": 2, "sd": 2}
STATES: tuple[State, ...] = ("running", "interrupted", "waiting", "failed")


def print_outcome(outcome: SweepOutcome, format: Format) -> None:  # noqa: A002  # as the option
    """Print a row a point; for people, rows by columns where two things are varied."""
    axes = outcome.axes
    is_grid = len(axes) == 2 and format != "csv"
    print_records(_grid(outcome, *axes) if is_grid else _list(outcome), format)


def print_search(
    outcome: SweepOutcome,
    best: dict[str, Any] | None,
    format: Format,  # noqa: A002  # as the option
) -> None:
    """Print the trials that did best, all of them where a program reads it, and the best one."""
    done = [each for each in outcome.points if each.mean is not None]
    ranked = sorted(done, key=lambda each: each.mean or 0.0)
    rows = tuple(
        {"trial": each.point.name, **_values(each, format), **_numbers(each)} for each in ranked
    )
    names = [*dict.fromkeys(name for each in ranked for name in each.point.values)]
    shown = rows[:MOST_TRIALS] if format == "table" else rows
    columns = ("trial", *names, "mean", "sd", "n")
    print_records(Records(columns=columns, rows=shown, decimals=DECIMALS), format)
    if format != "table":
        return
    if len(rows) > len(shown):
        console.note(f"and {plural(len(rows) - len(shown), 'trial')} more")
    if best is not None:
        sets = " ".join(f"-s {shlex.quote(f'{n}={v}')}" for n, v in best["values"].items())
        console.say(
            f"best on validation images: {best['trial']}, {best['value']:.2f} %; on test images "
            f"{best['test_error']:.2f} %; {sets}"
        )


def print_states(outcome: SweepOutcome, *, pruned: int = 0) -> None:
    """Say on stderr what isn't done, and why cells failed."""
    for note in outcome.notes:
        console.warn(note)
    for name, problem in outcome.problems.items():
        console.warn(f"{name} failed: {problem}")
    if problems := outcome.problems:
        console.note(f"--retry trains {plural(len(problems), 'failed cell')} again")
    if pruned:
        console.note(f"{plural(pruned, 'trial')} stopped early, worse than the median then")
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
        rows.append({**row, **_numbers(each)})
    return Records(
        columns=(*(axes or ["config"]), "mean", "sd", "n"),
        rows=tuple(rows),
        decimals=DECIMALS,
    )


def _values(each: PointOutcome, format: Format) -> dict[str, str]:  # noqa: A002  # as the option
    """The values of a trial; for people, numbers of a few digits."""
    values = dict(each.point.values)
    if format != "table":
        return values
    for name, text in values.items():
        with suppress(ValueError):
            values[name] = f"{float(text):.{DIGITS}g}"
    return values


def _numbers(each: PointOutcome) -> dict[str, Any]:
    return {"mean": each.mean, "sd": each.sd, "n": len(each.numbers)}


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
