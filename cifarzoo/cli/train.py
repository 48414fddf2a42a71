"""``run``, ``resume`` and ``eval``: from a config or a run's folder to a result."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cifarzoo.cli import console
from cifarzoo.cli.options import ConfigName, DataFolder, Json, Plugins, RunsFolder, Sets
from cifarzoo.cli.progress import listener_for
from cifarzoo.errors import StoppedError

if TYPE_CHECKING:
    from cifarzoo.config import Config
    from cifarzoo.engine.runner import Task
    from cifarzoo.results.folder import RunFolder

Processes = Annotated[
    int | None,
    typer.Option(
        "--nproc",
        "-n",
        metavar="N",
        help="Processes on this host, one a GPU (default: the GPUs; 1 on a CPU).",
        show_default=False,
    ),
]
MaxRestarts = Annotated[
    int,
    typer.Option(
        "--max-restarts",
        metavar="N",
        min=0,
        help="With several processes: start all again from the newest checkpoint, at most N "
        "times, when one is killed or hangs (default: 0).",
        show_default=False,
    ),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's folder, the start of its id, or 'latest'.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The processes that train.

    Attributes:
        nproc: On this host; None: as many as it has GPUs.
        max_restarts: How many times they may start again.
    """

    nproc: int | None
    max_restarts: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a rank needs to know to train: texts and paths only, since a new process gets it.

    Attributes:
        text: The resolved config.
        name: Of the config.
        plugins: Plugin files.
        folder: Of the run, which exists.
        data: Where data lie, or None.
        argv: The command, for run.json.
        as_json: Whether progress goes to stdout as JSON lines.
    """

    text: str
    name: str
    plugins: tuple[str, ...]
    folder: str
    data: str | None
    argv: tuple[str, ...]
    as_json: bool


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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be built, and stop.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train what a config describes."""
    from cifarzoo import config

    loaded = config.load(name, sets=sets or (), plugins=plugins or ())
    if seed is not None:  # after a check without it, since what a file sets must count there
        sets = [*(sets or ()), f"run.seed={seed}"]
        loaded = config.load(name, sets=sets, plugins=plugins or ())
    if dry_run:
        from cifarzoo.cli.look import show_config

        show_config(loaded, data=data, as_json=as_json, world_size=nproc or 1)
        return

    def open_folder() -> RunFolder:
        from cifarzoo.results import folder

        if run_dir is None:
            opened, is_new = folder.create(out, loaded.name, loaded.text()), True
        else:
            opened, was_there = folder.adopt(run_dir, loaded.text())
            is_new = not was_there
        if is_new:
            opened.keep_plugins(_plugin_files(loaded))
        return opened

    ranks = Ranks(nproc=nproc, max_restarts=max_restarts)
    _train(loaded, open_folder, data=data, ranks=ranks, as_json=as_json)


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
    _train(loaded, lambda: folder, data=data, ranks=ranks, as_json=as_json)


def evaluate(
    name: RunName,
    *,
    out: RunsFolder = Path("runs"),
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Test the newest weights of a run."""
    from cifarzoo.engine.runner import evaluate_run

    folder, loaded, data = _reopen(name, out, data)
    with loaded.locating():
        event = evaluate_run(_task(loaded, lambda: folder, data), listener_for(as_json))
    console.print_evaluation(event, as_json=as_json)


def _reopen(name: str, out: Path, data: Path | None) -> tuple[RunFolder, Config, Path | None]:
    from cifarzoo import config
    from cifarzoo.results.folder import CONFIG, find

    folder = find(name, out)
    record = folder.record
    loaded = config.from_text(
        folder.config_text,
        plugins=folder.plugins,
        name=record.get("config", "run"),
        shown_as=str(folder.path / CONFIG),
    )
    recorded = record.get("data_folder")
    return folder, loaded, data or (Path(recorded) if recorded else None)


def _train(
    loaded: Config, open_folder: Any, *, data: Path | None, ranks: Ranks, as_json: bool
) -> None:
    """Train here, or launch ranks that do; end with the exit code of how that went."""
    from cifarzoo.engine.ranks import is_worker, world_size_here

    try:
        size = world_size_here(ranks.nproc)
        if is_worker() or size == 1:
            with loaded.locating(), listener_for(as_json) as listener:
                _execute(_task(loaded, open_folder, data), listener)
            return
        exit_code = _launch(
            loaded,
            open_folder,
            data=data,
            nproc=size,
            max_restarts=ranks.max_restarts,
            as_json=as_json,
        )
    except StoppedError as error:  # the listener has said so
        exit_code = error.exit_code
    if exit_code:
        raise typer.Exit(exit_code)


def _launch(
    loaded: Config,
    open_folder: Any,
    *,
    data: Path | None,
    nproc: int,
    max_restarts: int,
    as_json: bool,
) -> int:
    from cifarzoo.engine.describe import describe
    from cifarzoo.engine.launcher import launch

    with loaded.locating():  # what can be refused is refused here, with its file and line
        describe(loaded.build(), data=data, world_size=nproc)
    folder = open_folder()
    with folder.locked():
        pass  # in use: refused before any process starts; rank 0 holds the lock from then on
    job = Job(
        text=loaded.text(),
        name=loaded.name,
        plugins=tuple(str(path) for path in _plugin_files(loaded)),
        folder=str(folder.path),
        data=str(data) if data else None,
        argv=tuple(sys.argv),
        as_json=as_json,
    )
    return launch(work, job, nproc=nproc, max_restarts=max_restarts, warn=console.warn)


def work(job: Job) -> None:
    """Train as one of several ranks."""
    from cifarzoo import config
    from cifarzoo.results.folder import CONFIG, RunFolder

    sys.argv = list(job.argv)
    folder = RunFolder(Path(job.folder))
    loaded = config.from_text(
        job.text, plugins=job.plugins, name=job.name, shown_as=str(folder.path / CONFIG)
    )
    data = Path(job.data) if job.data else None
    with listener_for(job.as_json) as listener:
        _execute(_task(loaded, lambda: folder, data), listener)


def _plugin_files(loaded: Config) -> list[Path]:
    """The plugin files that the run needs; others that were named are left out."""
    from cifarzoo.loading import is_file_plugin

    return sorted({entry.path for entry in loaded.components() if is_file_plugin(entry)})


def _execute(task: Task, listener: Any) -> None:
    from cifarzoo.engine.runner import execute

    execute(task, [listener])


def _task(loaded: Config, open_folder: Any, data: Path | None) -> Task:
    from cifarzoo.engine.runner import Task
    from cifarzoo.plugins import provenance as plugin_provenance
    from cifarzoo.results.provenance import provenance

    return Task(
        run=loaded.build(),
        name=loaded.name,
        digest=loaded.digest(),
        open_folder=open_folder,
        data=data,
        provenance={
            **provenance(sys.argv),
            "plugins": plugin_provenance(loaded.components()),
            "data_folder": str(data.resolve()) if data else None,
        },
    )
