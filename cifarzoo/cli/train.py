"""``run``, ``resume`` and ``eval``: from a config or a run's folder to a result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifarzoo.cli.launching import Ranks, opener, train
from cifarzoo.cli.options import (
    ConfigName,
    DataFolder,
    DryRun,
    Json,
    MaxRestarts,
    Plugins,
    Processes,
    RunsFolder,
    Sets,
)
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.progress import listener_for

if TYPE_CHECKING:
    from cifarzoo.config import Config
    from cifarzoo.runs.folder import RunFolder

RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's folder, the start of its id, or 'latest'.",
        show_default=False,
    ),
]


def run(
    name: ConfigName,
    *,
    sets: Sets = None,
    plugins: Plugins = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Short for -s run.seed=N.", show_default=False),
    ] = None,
    nproc: Processes = None,
    max_restarts: MaxRestarts = 0,
    out: RunsFolder = Path("runs"),
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir",
            metavar="DIR",
            help="The run's folder itself; if it holds this run, go on with it.",
            show_default=False,
        ),
    ] = None,
    data: DataFolder = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train what a config describes."""
    from cifarzoo import config

    loaded = config.load(name, sets=sets or (), plugins=plugins or ())
    if seed is not None:  # no --set, beside which what a file sets would not have to count
        loaded = loaded.with_values({"run.seed": seed}, location="--seed")
    if dry_run:
        from cifarzoo.cli.look import show_config

        show_config(loaded, data=data, as_json=as_json, world_size=nproc or 1)
        return

    open_folder = opener(loaded, out=out, run_dir=run_dir)
    ranks = Ranks(nproc=nproc, max_restarts=max_restarts)
    train(loaded, open_folder, data=data, ranks=ranks, as_json=as_json)


def resume(
    name: RunName,
    *,
    nproc: Processes = None,
    max_restarts: MaxRestarts = 0,
    out: RunsFolder = Path("runs"),
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Go on with a run that was stopped, from its last checkpoint."""
    folder, loaded, data = _reopen(name, out, data)
    ranks = Ranks(nproc=nproc or folder.record.get("world_size"), max_restarts=max_restarts)
    train(loaded, lambda: folder, data=data, ranks=ranks, as_json=as_json)


def evaluate(
    name: RunName,
    *,
    out: RunsFolder = Path("runs"),
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Test the newest weights of a run."""
    from cifarzoo.engine.trained import evaluate_run

    folder, loaded, data = _reopen(name, out, data)
    with loaded.locating():
        event = evaluate_run(
            loaded.build(),
            folder,
            digest=loaded.digest(),
            data=data,
            emit=listener_for(as_json),
        )
    console.print_evaluation(event, as_json=as_json)


def _reopen(name: str, out: Path, data: Path | None) -> tuple[RunFolder, Config, Path | None]:
    from cifarzoo import config
    from cifarzoo.runs.folder import CONFIG, find_run

    folder = find_run(name, out)
    record = folder.record
    loaded = config.from_text(
        folder.config_text,
        plugins=folder.plugins,
        name=record.get("config", "run"),
        shown_as=str(folder.path / CONFIG),
    )
    recorded = record.get("data_folder")
    return folder, loaded, data or (Path(recorded) if recorded else None)
