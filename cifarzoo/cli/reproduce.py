"""``reproduce``: runs a row of a published table, and puts ours beside it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifarzoo.api.execution import Processes, opener
from cifarzoo.cli import completion
from cifarzoo.cli.launching import processes, train
from cifarzoo.cli.look import show_config
from cifarzoo.cli.options import (
    DataFolder,
    DryRun,
    Json,
    MaxRestarts,
    NumProcesses,
    RunsFolder,
    Sets,
)
from cifarzoo.cli.seeds import Seeds, numbers
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.units import plural
from cifarzoo.config.budgets import Budget
from cifarzoo.engine.distributed.environment import is_worker, rank_environment
from cifarzoo.errors import UsageError
from cifarzoo.results.reproduction import ON_GLYPHS, Reproduction, plan_reproduction

if TYPE_CHECKING:
    from cifarzoo.results.tables import Row


def reproduce(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="TABLE/ROW",
            help="A row, as flax_gpu/wrn26_10, or several, as 'flax_gpu/*'; a TABLE alone lists "
            "its rows; nothing lists all.",
            autocompletion=completion.rows,
            show_default=False,
        ),
    ] = None,
    *,
    seeds: Seeds = "1",
    budget: Annotated[
        Budget,
        typer.Option(
            "--budget",
            help="full: as published; short: a twentieth of the epochs; smoke: two small steps.",
        ),
    ] = "full",
    sets: Sets = None,
    nproc: NumProcesses = None,
    max_restarts: MaxRestarts = 0,
    out: RunsFolder = Path("runs"),
    data: DataFolder = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run a row of a published table and compare; without one, list the rows."""
    from cifarzoo.cli.terminal import published
    from cifarzoo.results import tables

    chosen_seeds = numbers(seeds)
    if name is None or "/" not in name:
        if (seeds, budget, sets) != ("1", "full", None):
            where = f"'{name or '*'}/*'"
            raise UsageError(f"there is no row to run; name one, or all of them by {where}")
        listed = tables.tables().values() if name is None else [tables.table(name)]
        published.show_list(list(listed), out, as_json=as_json)
        return
    if is_worker() and len(chosen_seeds) > 1:
        raise UsageError(
            f"--seeds is {seeds!r}; expected one seed a command where a launcher starts the "
            "ranks, as '3,' is seed 3 alone"
        )
    for row in _rows(name):
        wanted = plan_reproduction(
            row, chosen_seeds, budget=budget, sets=sets or (), data=data, runs=out
        )
        for entry in wanted.config.components():
            if entry.overridden:
                theirs = f"{entry.name} is that of {entry.origin}, in the place of cifarzoo's own"
                console.warn(f"{theirs}: this is not the training that was published")
        if dry_run:
            first = wanted.configs[chosen_seeds[0]]
            show_config(first, data=data, as_json=as_json, world_size=nproc or 1)
            continue
        _train(wanted, data, processes(nproc, max_restarts), as_json=as_json)
        if not is_worker() or rank_environment().rank == 0:
            found, others = wanted.outcome()
            for seed in others:
                console.warn(f"seed {seed} is left out: it was run with other settings")
            published.show_outcome(found, tables.table(row.table), as_json=as_json)


def _rows(name: str) -> list[Row]:
    """The row called ``name``, or all that can be run of those that a pattern matches."""
    from cifarzoo.results import tables

    if not any(sign in name for sign in "*?["):
        return [tables.row(name)]
    rows = [row for table in tables.tables().values() for row in table.rows.values()]
    matching = [row for row in rows if fnmatchcase(row.path, name)]
    runnable = [row for row in matching if row.recipe is not None]
    if not runnable:
        raise UsageError(f"no row that can be run matches {name!r}; cifarzoo reproduce lists them")
    if len(runnable) < len(matching):
        console.warn(f"{plural(len(matching) - len(runnable), 'row')} cannot be run yet: left out")
    return runnable


def _train(wanted: Reproduction, data: Path | None, ranks: Processes, *, as_json: bool) -> None:
    if wanted.kind == ON_GLYPHS:
        console.warn(f"{wanted.row.dataset} is not there (see --data): on glyphs instead")
    for seed in wanted.waiting():
        loaded, folder = wanted.configs[seed], wanted.folder(seed)
        open_folder = opener(loaded, out=wanted.runs, run_dir=folder)
        train(loaded, open_folder, data=data, processes=ranks, as_json=as_json)
