"""Training for commands: with the progress that their options ask for, and an exit code."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cifarzoo.api.execution import OpenFolder, Processes, execute_config
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.progress import listener_for
from cifarzoo.errors import StoppedError
from cifarzoo.run_folders.labels import UNLABELLED, Labels

if TYPE_CHECKING:
    from cifarzoo.api.branching import Parent
    from cifarzoo.config import Config


def processes(nproc: int | None, max_restarts: int) -> Processes:
    """The processes that ``--nproc`` and ``--max-restarts`` ask for."""
    return Processes(nproc=nproc, max_restarts=max_restarts, warn=console.warn)


def train(
    config: Config,
    open_folder: OpenFolder,
    *,
    data: Path | None,
    processes: Processes,
    as_json: bool,
    parent: Parent | None = None,
    is_anonymous: bool = False,
    labels: Labels = UNLABELLED,
) -> None:
    """Train to the end; what a signal stopped ends with its exit code, as the listener has said."""
    try:
        execute_config(
            config,
            open_folder,
            data=data,
            processes=processes,
            progress=partial(listener_for, as_json),
            parent=parent,
            is_anonymous=is_anonymous,
            labels=labels,
        )
    except StoppedError as error:
        raise typer.Exit(error.exit_code) from error
