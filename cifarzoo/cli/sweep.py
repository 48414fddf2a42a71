"""``sweep``: configs times values times seeds, each a run, and what they come to."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
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
from cifarzoo.cli.seeds import Seeds, numbers
from cifarzoo.cli.slurm_jobs import Slurm, SlurmJobs, SlurmSets, Wait, check_slurm_options
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.units import duration, plural
from cifarzoo.errors import EXIT_FAILED, EXIT_STOPPED, UsageError
from cifarzoo.results.comparing.groups import Metric
from cifarzoo.run_folders.strict_json import strict_json
from cifarzoo.sweeps.plan import Asked
from cifarzoo.sweeps.storage import Sampler
from cifarzoo.sweeps.variations import parse_variation

if TYPE_CHECKING:
    from cifarzoo.results.formats import Format
    from cifarzoo.sweeps.plan import Cell
    from cifarzoo.sweeps.scheduler import Slots, Source
    from cifarzoo.sweeps.search import SearchSource
    from cifarzoo.sweeps.states import Standing
    from cifarzoo.sweeps.training import Sweep

TRIALS, MOST_TRIALS = 50, 100_000


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
            "repeatable: all combinations. With --search also a range, as sgd.lr=log:1e-3..1.",
            autocompletion=completion.settings,
            show_default=False,
        ),
    ] = None,
    seeds: Seeds = "1",
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
    search: Annotated[
        Sampler | None,
        typer.Option(
            "--search",
            metavar="SAMPLER",
            help="Let tpe or random choose values by errors on validation images.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            metavar="N",
            help=f"With --search: points that are tried, over all hosts (default: {TRIALS}).",
            show_default=False,
        ),
    ] = None,
    search_seed: Annotated[
        int | None,
        typer.Option(
            "--search-seed",
            metavar="N",
            help="With --search: seed of the sampler (default: 0).",
            show_default=False,
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="With --search: stop trials that are worse than the median at the same epoch.",
        ),
    ] = False,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            envvar="CIFARZOO_STORAGE",
            help="Database that hosts share, as postgresql+psycopg://HOST/NAME.",
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
    slurm: Slurm = False,
    slurm_sets: SlurmSets = None,
    wait: Wait = False,
    metric: Annotated[
        Metric | None,
        typer.Option(
            "--metric",
            help="Number of a run that is shown (default: test_error; of a search, "
            "validation_error, by which it chooses).",
            show_default=False,
        ),
    ] = None,
    format: FormatOption = None,  # noqa: A002  # as the option is called
    as_json: Json = False,
) -> None:
    """Train every combination of configs, values and seeds, each a run of its own.

    The same command goes on: cells that are done are skipped, interrupted ones are resumed, and
    values, seeds or configs that were added are trained. What failed is listed with its line.
    """
    from cifarzoo.sweeps import training
    from cifarzoo.sweeps.scheduler import ListSource
    from cifarzoo.sweeps.search import Search
    from cifarzoo.sweeps.states import standing

    asked = Asked(
        configs=tuple(names),
        sets=tuple(sets or ()),
        variations=tuple(map(parse_variation, vary or ())),
        seeds=tuple(numbers(seeds)),
        plugins=tuple(plugins or ()),
    )
    chosen = chosen_format(format, as_json=as_json)
    others = {"--search": search, "--storage": storage, "--print": print_commands}
    check_slurm_options(slurm=slurm, sets=slurm_sets, wait=wait, others=others)

    def slots_of() -> Slots:
        return training.plan_slots(
            out, jobs=jobs, threads=threads, nproc=nproc, data=data, emit=console.warn
        )

    if search is not None:
        _check_search(trials, dry_run=dry_run, prints=print_commands, retry=retry)
        wanted = Search(
            sampler=search, seed=search_seed or 0, trials=trials or TRIALS, prunes=prune
        )
        source = training.plan_search(asked, out, wanted, url=storage, data=data, emit=console.warn)
        slots = slots_of()
        training.begin_search(source, slots)
        _search(source, slots, metric=metric or "validation_error", format=chosen)
        return
    _check_no_search({"--trials": trials, "--search-seed": search_seed, "--prune": prune or None})
    planned = training.plan_sweep(asked, out, data=data, replaces=retrain_changed)
    for note in planned.notes:
        console.warn(note)
    if dry_run:
        _list_cells(planned, data, jobs or 1, as_json=chosen == "json")
        return
    if slurm:
        by = SlurmJobs(out, slurm_sets or (), jobs=jobs, threads=threads, nproc=nproc, data=data)
        training.begin(planned, by.slots, replaces=retrain_changed)
        submitted = by.submit(planned, retry=retry)
        signal = by.watch(planned, submitted, metric or "test_error") if wait else ""
        goes_on = bool(submitted.jobs) and not wait
        _finish(planned, standing, metric, chosen, signal=signal, goes_on=goes_on)
        return
    slots = slots_of()
    if storage is not None:
        if print_commands:
            raise UsageError("--print has no effect with --storage, whose hosts pull their cells")
        shared = training.share(planned, slots, url=storage, retry=retry, emit=console.warn)
        _train(planned, slots, shared, shared.standing, metric=metric, format=chosen)
        return
    training.begin(planned, slots, replaces=retrain_changed)
    if print_commands:
        from cifarzoo.sweeps.processes import command

        for cell in planned.cells:
            words = command(cell.folder, data=data, nproc=nproc)
            typer.echo(shlex.join(["cifarzoo", *words]))
        return
    listed = ListSource(planned.cells, retry=retry)
    _train(planned, slots, listed, standing, metric=metric, format=chosen)


def _check_search(trials: int | None, *, dry_run: bool, prints: bool, retry: bool) -> None:
    if trials is not None and not 1 <= trials <= MOST_TRIALS:
        raise UsageError(f"--trials is {trials}; expected 1 to {MOST_TRIALS:,}")
    given = {"--dry-run": dry_run, "--print": prints, "--retry": retry}
    if odd := [option for option, value in given.items() if value]:
        raise UsageError(f"{odd[0]} has no effect with --search, whose cells aren't known before")


def _check_no_search(given: Mapping[str, object]) -> None:
    if odd := [option for option, value in given.items() if value is not None]:
        raise UsageError(f"{odd[0]} has no effect without --search")


def _search(
    source: SearchSource,
    slots: Slots,
    *,
    metric: Metric,
    format: Format,  # noqa: A002  # as the option is called
) -> None:
    from cifarzoo.cli.terminal.sweep_progress import SweepProgress
    from cifarzoo.cli.terminal.sweep_table import print_search, print_states
    from cifarzoo.sweeps.outcome import outcome_of, to_json
    from cifarzoo.sweeps.scheduler import train_cells

    jobs = len(slots.resources)
    with SweepProgress(source.cells(), metric, jobs, source.expected) as progress:
        signal = train_cells(source, slots, progress, refresh=progress.refresh)
    outcome = outcome_of(source.cells(), metric)
    print_states(outcome, pruned=source.pruned())
    if format == "json":
        typer.echo(strict_json({**to_json(outcome), "best": source.best()}, indent=2))
    elif any(point.numbers for point in outcome.points):
        print_search(outcome, source.best(), format)
    if signal:
        console.note(f"stopped by {signal}; the same command goes on")
        raise typer.Exit(EXIT_STOPPED)
    if outcome.problems:
        raise typer.Exit(EXIT_FAILED)


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
    source: Source,
    standing_of: Callable[[Cell], Standing],
    *,
    metric: Metric | None,
    format: Format,  # noqa: A002  # as the option is called
) -> None:
    from cifarzoo.cli.terminal.sweep_progress import SweepProgress
    from cifarzoo.sweeps.scheduler import train_cells

    jobs = len(slots.resources)
    with SweepProgress(planned.cells, metric or "test_error", jobs) as progress:
        signal = train_cells(source, slots, progress, refresh=progress.refresh)
    _finish(planned, standing_of, metric, format, signal=signal)


def _finish(
    planned: Sweep,
    standing_of: Callable[[Cell], Standing],
    metric: Metric | None,
    format: Format,  # noqa: A002  # as the option is called
    *,
    signal: str,
    goes_on: bool = False,
) -> None:
    """Show what the cells have come to, and end with the exit code that says it."""
    from cifarzoo.cli.terminal.sweep_table import print_outcome, print_states
    from cifarzoo.sweeps.outcome import outcome_of, to_json

    outcome = outcome_of(planned.cells, metric or "test_error", standing_of)
    print_states(outcome)
    if format == "json":
        typer.echo(strict_json(to_json(outcome), indent=2))
    elif any(point.numbers for point in outcome.points):
        print_outcome(outcome, format)
    if signal:
        console.note(f"stopped by {signal}; the same command goes on")
        raise typer.Exit(EXIT_STOPPED)
    if outcome.states["done"] < len(planned.cells) and not goes_on:
        raise typer.Exit(EXIT_FAILED)
