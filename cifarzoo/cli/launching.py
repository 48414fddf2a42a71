"""From a checked config to ranks that train it: here, or in processes that are launched.

What a new process needs to know is a ``Job``, texts and paths only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.progress import Listener, listener_for
from cifarzoo.errors import StoppedError

if TYPE_CHECKING:
    from cifarzoo.config import Config
    from cifarzoo.engine.runner import Task
    from cifarzoo.runs.folder import RunFolder


OpenFolder = Callable[[], "RunFolder"]


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


def opener(loaded: Config, *, out: Path, run_dir: Path | None = None) -> OpenFolder:
    """What opens the folder of a run of ``loaded``, with copies of its plugin files.

    Args:
        loaded: What is run.
        out: Where runs go: a new folder there.
        run_dir: The folder itself, which may hold this run already; None: a new one.
    """

    def open_folder() -> RunFolder:
        from cifarzoo.runs import folder

        if run_dir is None:
            opened, is_new = folder.create(out, loaded.name, loaded.text()), True
        else:
            opened, was_there = folder.adopt(run_dir, loaded.text())
            is_new = not was_there
        if is_new:
            opened.keep_plugins(loaded.plugin_files())
        return opened

    return open_folder


def train(
    loaded: Config, open_folder: OpenFolder, *, data: Path | None, ranks: Ranks, as_json: bool
) -> None:
    """Train here, or launch ranks that do; end with the exit code of how that went."""
    from cifarzoo.engine.distributed.environment import is_worker, resolve_world_size

    try:
        size = resolve_world_size(ranks.nproc)
        if is_worker() or size == 1:
            with loaded.locating(), listener_for(as_json) as listener:
                _execute(task_of(loaded, open_folder, data), listener)
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
    open_folder: OpenFolder,
    *,
    data: Path | None,
    nproc: int,
    max_restarts: int,
    as_json: bool,
) -> int:
    from cifarzoo.engine.assembly.describe import describe
    from cifarzoo.engine.distributed.launcher import launch

    with loaded.locating():  # what can be refused is refused here, with its file and line
        describe(loaded.build(), data=data, world_size=nproc)
    folder = open_folder()
    with folder.locked():
        pass  # in use: refused before any process starts; rank 0 holds the lock from then on
    job = Job(
        text=loaded.text(),
        name=loaded.name,
        plugins=tuple(str(file.path) for file in loaded.plugin_files()),
        folder=str(folder.path),
        data=str(data) if data else None,
        argv=tuple(sys.argv),
        as_json=as_json,
    )
    return launch(work, job, nproc=nproc, max_restarts=max_restarts, warn=console.warn)


def work(job: Job) -> None:
    """Train as one of several ranks."""
    from cifarzoo import config
    from cifarzoo.runs.folder import CONFIG, RunFolder

    sys.argv = list(job.argv)
    folder = RunFolder(Path(job.folder))
    loaded = config.from_text(
        job.text, plugins=job.plugins, name=job.name, shown_as=str(folder.path / CONFIG)
    )
    data = Path(job.data) if job.data else None
    with listener_for(job.as_json) as listener:
        _execute(task_of(loaded, lambda: folder, data), listener)


def _execute(task: Task, listener: Listener) -> None:
    from cifarzoo.engine.runner import execute

    execute(task, [listener])


def task_of(loaded: Config, open_folder: OpenFolder, data: Path | None) -> Task:
    """What the engine is given, with all that run.json says of where a result comes from."""
    from cifarzoo.components.plugins import plugin_provenance
    from cifarzoo.engine.runner import Task
    from cifarzoo.runs.provenance import provenance

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
