"""``sweep``: configs times values times seeds, each a run, and what they come to."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifarzoo.cli import completion
from cifarzoo.cli.options import (
    DataFolder,
    FormatOption,
    Json,
    Plugins,
    Sets,
    chosen_format,
    with_home,
)
from cifarzoo.cli.seeds import numbers
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.units import duration, plural
from cifarzoo.errors import EXIT_FAILED, EXIT_STOPPED
from cifarzoo.results.groups import Metric
from cifarzoo.run_folders.strict_json import strict_json
from cifarzoo.sweeps.plan import Asked
from cifarzoo.sweeps.variations import parse_variation

if TYPE_CHECKING:
    from cifarzoo.results.formats import Format
    from cifarzoo.sweeps.scheduler import Slots
    from cifarzoo.sweeps.training import Sweep


def sweep(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG...",
            help=".gin files: paths, or names of recipes.",
            autocompletion=completion.configs,
            show_default=False,
        ),
    ],
    *,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="NAME=VALUE,VALUE",
            help="A setting and its values, as sgd.lr=.03,.1 or run.regularizers='[],[@mixup]'; "
            "repeatable: all combinations.",
            autocompletion=completion.settings,
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds", metavar="SEEDS", help="How many (3 is 0, 1, 2), or which: 4:7, or 0,5."
        ),
    ] = "1",
    sets: Sets = None,
    plugins: Plugins = None,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Folder of the sweep.", callback=with_home),
    ],
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            help="Cells that are trained side by side (default: one a GPU; 1 on a CPU).",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="N",
            help="Threads of a cell on a CPU (default: an equal share of the cores; later, as "
            "many as when the sweep was begun).",
            show_default=False,
        ),
    ] = None,
    nproc: Annotated[
        int | None,
        typer.Option(
            "--nproc",
            "-n",
            metavar="N",
            help="Processes that train a cell together (default: 1).",
            show_default=False,
        ),
    ] = None,
    data: DataFolder = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also train cells again that have failed.")
    ] = False,
    retrain_changed: Annotated[
        bool,
        typer.Option(
            "--retrain-changed",
            help="Train cells anew whose config or whose cifarzoo has changed since; what is there "
            "is moved to .replaced.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the cells and the hours reckoned, and stop.")
    ] = False,
    print_commands: Annotated[
        bool,
        typer.Option(
            "--print",
            help="Write the cells' folders, print a command a cell, for any queue, and stop.",
        ),
    ] = False,
    metric: Annotated[
        Metric, typer.Option("--metric", help="Number of a run that is shown.")
    ] = "test_error",
    format: FormatOption = None,  # noqa: A002  # as the option is called
    as_json: Json = False,
) -> None:
    """Train every combination of configs, values and seeds, each a run of its own.

    The same command goes on: cells that are done are skipped, interrupted ones are resumed, and
    values, seeds or configs that were added are trained. What failed is listed with its line.
    """
    from cifarzoo.sweeps import training

    asked = Asked(
        configs=tuple(names),
        sets=tuple(sets or ()),
        variations=tuple(map(parse_variation, vary or ())),
        seeds=tuple(numbers(seeds)),
        plugins=tuple(plugins or ()),
    )
    chosen = chosen_format(format, as_json=as_json)
    planned = training.plan_sweep(asked, out, data=data, replaces=retrain_changed)
    for note in planned.notes:
        console.warn(note)
    if dry_run:
        _list_cells(planned, data, jobs or 1, as_json=chosen == "json")
        return
    slots = training.plan_slots(
        out, jobs=jobs, threads=threads, nproc=nproc, data=data, emit=console.warn
    )
    training.begin(planned, slots, replaces=retrain_changed)
    if print_commands:
        from cifarzoo.sweeps.processes import command

        for cell in planned.cells:
            words = command(cell, data=data, nproc=nproc)
            typer.echo(shlex.join(["cifarzoo", *words]))
        return
    _train(planned, slots, retry=retry, metric=metric, format=chosen)


def _list_cells(planned: Sweep, data: Path | None, jobs: int, *, as_json: bool) -> None:
    """Print each cell with its state, and the time that all will take."""
    from cifarzoo.sweeps.reckoning import measured_seconds, seconds_left, trained_seconds
    from cifarzoo.sweeps.states import standing

    known = trained_seconds(planned.cells)
    of_config = {cell.point.config_name: cell for cell in reversed(planned.cells)}
    for name, cell in of_config.items():
        if name not in known:
            console.note(f"{name}: measured, since no run of it is done")
            known[name] = measured_seconds(cell.config, data=data, emit=lambda _: None)
    left = seconds_left(planned.cells, known)
    states = {cell.name: standing(cell).state for cell in planned.cells}
    if as_json:
        record = {"cells": states, "seconds": left, "jobs": jobs}
        typer.echo(strict_json(record, indent=2))
        return
    width = max(map(len, states))
    for name, state in states.items():
        console.say(f"{name:{width}}  {state}")
    total = f"{plural(len(states), 'cell')}"
    if left is not None:
        total += f", about {duration(left)} of training one after the other"
    console.note(f"{total}; nothing was trained or written")


def _train(
    planned: Sweep,
    slots: Slots,
    *,
    retry: bool,
    metric: Metric,
    format: Format,  # noqa: A002  # as the option is called
) -> None:
    from cifarzoo.cli.terminal.sweep_progress import SweepProgress
    from cifarzoo.cli.terminal.sweep_table import print_outcome, print_states
    from cifarzoo.sweeps.outcome import outcome_of, to_json
    from cifarzoo.sweeps.scheduler import ListSource, train_cells

    source = ListSource(planned.cells, retry=retry)
    with SweepProgress(planned.cells, metric, len(slots.resources)) as progress:
        signal = train_cells(source, slots, progress, refresh=progress.refresh)
    outcome = outcome_of(planned.cells, metric)
    print_states(outcome)
    if format == "json":
        typer.echo(strict_json(to_json(outcome), indent=2))
    elif any(point.numbers for point in outcome.points):
        print_outcome(outcome, format)
    if signal:
        console.note(f"stopped by {signal}; the same command goes on")
        raise typer.Exit(EXIT_STOPPED)
    if outcome.states["done"] < len(planned.cells):
        raise typer.Exit(EXIT_FAILED)
