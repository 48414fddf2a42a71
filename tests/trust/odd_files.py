"""What a run's folder may hold that is no file, or folder, itself; for C2."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.run_folders.folder import CHECKPOINTS, METRICS, RECORD, STATE, TENSORBOARD, RunFolder


def linked(path: Path) -> None:
    """Move something out of the folder, and leave a link to it."""
    there = path.parent / f".{path.name}"
    path.rename(there)
    path.symlink_to(there)


def piped(path: Path) -> None:
    """Leave a named pipe in its place."""
    path.unlink()
    os.mkfifo(path)


def in_folder(name: str, make: Callable[[Path], None], folder: RunFolder, _: Checkpoints) -> None:
    """Do it to a file or folder of the run."""
    make(folder.path / name)


def in_newest(name: str, make: Callable[[Path], None], _: RunFolder, here: Checkpoints) -> None:
    """Do it to the newest checkpoint, or to a file of it."""
    make(here.path(here.steps()[-1]) / name)


# By name, what ``Damage`` is made of.
ODD_FILES: dict[str, dict[str, Any]] = {
    "a link for metrics": {"do": partial(in_folder, METRICS, linked), "refused": "it is a link"},
    "a pipe for metrics": {"do": partial(in_folder, METRICS, piped), "refused": "a named pipe"},
    "a pipe for the record": {"do": partial(in_folder, RECORD, piped), "refused": "a named pipe"},
    "a link for checkpoints": {
        "do": partial(in_folder, CHECKPOINTS, linked),
        "refused": "expected the folder itself",
    },
    "a link for events of TensorBoard": {
        "do": partial(in_folder, TENSORBOARD, linked),
        "refused": "expected the folder itself",
    },
    "a link for the newest checkpoint": {"do": partial(in_newest, "", linked), "warnings": 1},
    "a link for a state": {"do": partial(in_newest, STATE, linked), "warnings": 1},
    "a pipe for a state": {"do": partial(in_newest, STATE, piped), "warnings": 1},
}
