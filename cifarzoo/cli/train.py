"""``run``, ``resume`` and ``eval``: from a config or a run's folder to a result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cifarzoo.api.branching import find_parent
from cifarzoo.api.execution import opener, try_config
from cifarzoo.api.reopening import Reopened, reopen
from cifarzoo.cli import completion
from cifarzoo.cli.launching import processes, train
from cifarzoo.cli.options import (
    Anonymous,
    ConfigName,
    DataFolder,
    DryRun,
    Json,
    MaxRestarts,
    NumProcesses,
    Plugins,
    RunName,
    RunsFolder,
    Sets,
    TrustPlugins,
    with_home,
)
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.evaluation import print_evaluation
from cifarzoo.cli.terminal.progress import listener_for
from cifarzoo.components.root import BOOKKEEPING, ROOT
from cifarzoo.components.user_paths import expanded
from cifarzoo.run_folders.labels import Labels
from cifarzoo.uncollected import uncollected

CHANGEABLE = ", ".join(f"{ROOT}.{name}" for name in sorted(BOOKKEEPING))  # where a run goes on


def run(
    name: ConfigName,
    *,
    sets: Sets = None,
    plugins: Plugins = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Short for -s run.seed=N.", show_default=False),
    ] = None,
    nproc: NumProcesses = None,
    max_restarts: MaxRestarts = 0,
    out: RunsFolder = Path("runs"),
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir",
            metavar="DIR",
            help="The run's folder itself; if it holds this run, go on with it.",
            callback=with_home,
            show_default=False,
        ),
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Begin where that run stood, or one of its checkpoints (a path), as a run of its "
            "own: for longer, or by another schedule.",
            autocompletion=completion.runs,
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="TEXT",
            help="A name for the run, by which commands find it; it changes nothing else.",
            show_default=False,
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="TEXT",
            help="A word to find the run by in cifarzoo runs; repeatable.",
            show_default=False,
        ),
    ] = None,
    data: DataFolder = None,
    dry_run: DryRun = False,
    trust_plugins: TrustPlugins = False,
    anonymous: Anonymous = False,
    as_json: Json = False,
) -> None:
    """Train what a config describes."""
    from cifarzoo import config

    labels = Labels(name=label, tags=tuple(tags or ()))
    loaded = config.load(name, sets=sets or (), plugins=plugins or ())
    if trust_plugins:
        loaded = loaded.trusting(console.warn)
    console.name_copies(loaded)
    if seed is not None:  # no --set, beside which what a file sets would not have to count
        loaded = loaded.with_values({"run.seed": seed}, location="--seed")
    if dry_run:
        console.warn_of(loaded)
        from cifarzoo.cli.look import show_config

        unseen = try_config(loaded, data=data, world_size=nproc or 1)
        show_config(loaded, data=data, as_json=as_json, world_size=nproc or 1)
        for message in unseen:
            console.warn(message)
        return

    train(
        loaded,
        opener(loaded, out=out, run_dir=run_dir),
        data=data,
        processes=processes(nproc, max_restarts),
        as_json=as_json,
        parent=find_parent(parent, out=out) if parent else None,
        is_anonymous=anonymous,
        labels=labels,
    )


def resume(
    name: RunName,
    *,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="NAME=VALUE",
            help=f"Change one of {CHANGEABLE}; repeatable.",
            show_default=False,
        ),
    ] = None,
    nproc: NumProcesses = None,
    max_restarts: MaxRestarts = 0,
    out: RunsFolder = Path("runs"),
    data: DataFolder = None,
    trust_plugins: TrustPlugins = False,
    anonymous: Anonymous = False,
    as_json: Json = False,
) -> None:
    """Go on with a run that was stopped, from its last checkpoint."""
    run = _reopened(name, out, data, trusts=trust_plugins)
    train(
        run.with_bookkeeping(sets=sets or ()),
        lambda: run.folder,
        data=run.data,
        processes=processes(nproc or run.folder.record.get("world_size"), max_restarts),
        as_json=as_json,
        is_anonymous=anonymous,
    )


def evaluate(
    name: RunName,
    *,
    out: RunsFolder = Path("runs"),
    data: DataFolder = None,
    weights: Annotated[
        Literal["tested", "last", "average", "best"],
        typer.Option(
            "--weights",
            help="The newest, averaged if the run averages them; the newest that aren't; the "
            "newest averaged; or those of the lowest validation error.",
        ),
    ] = "tested",
    trust_plugins: TrustPlugins = False,
    as_json: Json = False,
) -> None:
    """Test weights of a run."""
    with uncollected():
        from cifarzoo.api.evaluation import evaluate_reopened

    run = _reopened(name, out, data, trusts=trust_plugins)
    event = evaluate_reopened(run, listener_for(as_json), weights=weights)
    print_evaluation(event, as_json=as_json)


def _reopened(name: str, out: Path, data: Path | None, *, trusts: bool) -> Reopened:
    """The run called ``name``; which one that is, is said at once where it isn't a path."""
    run = reopen(name, out=out, data=data)
    if run.folder.path != expanded(name):
        console.note(f"{name} is {run.folder.path}")
    if trusts:
        run = run.trusting(console.warn)
    console.name_copies(run.config)
    return run
