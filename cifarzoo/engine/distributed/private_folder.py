"""Private folders of a command's processes, for as long as one of them lives.

Each process holds a shared lock on its folder, which goes with it however it ends. What processes
that were killed left behind is removed by the next command of the same user.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import process, util
from pathlib import Path
from typing import Any

PREFIX = "cifarzoo-"
RANDOM = "8letters"  # what ``tempfile`` adds
ATTEMPT = "attempt-"
SOCKET = "listener-"  # as ``multiprocessing`` calls it
NAME = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}")
INSIDE = re.compile(rf"{ATTEMPT}\d+|{SOCKET}[a-z0-9_]{{8}}")
SHORT = "/tmp"  # noqa: S108  # for a folder of a random name, where TMPDIR is too long for sockets
LONGEST_SOCKET = 107  # bytes of a path that a socket can have
ABANDONED_SECONDS = 60.0  # before that a folder may have been made and not yet be held
LAST = -100  # priority at exit, after all that may use the folder


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that nobody else may read, removed at the end of ``with``."""
    for place in {tempfile.gettempdir(), SHORT}:
        _remove_abandoned(Path(place))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    held = hold(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def keep_sockets_private() -> None:
    """Have ``multiprocessing`` put the socket of its fork server into a folder that is held.

    It has a folder of its own for that, for as long as this process lives, and leaves it behind
    where the process is killed.
    """
    settings: dict[str, Any] = vars(process.current_process())["_config"]  # as its own code does
    if "tempdir" in settings:
        return
    is_short = len(f"{tempfile.gettempdir()}/{PREFIX}/{SOCKET}".encode()) <= LONGEST_SOCKET - 16
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=None if is_short else SHORT)
    hold(Path(folder))
    settings["tempdir"] = folder
    util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=LAST)


def hold(folder: Path) -> int | None:
    """Hold ``folder`` until this process ends, or the descriptor that is returned is closed."""
    return _lock(folder, fcntl.LOCK_SH)


def _remove_abandoned(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if not _is_abandoned(folder):
                continue
            held = _lock(folder, fcntl.LOCK_EX)
            if held is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)


def _is_abandoned(folder: Path) -> bool:
    """Whether it is one of ours, and old enough to be held by whoever still uses it."""
    its = folder.lstat()
    if not stat.S_ISDIR(its.st_mode) or its.st_uid != os.geteuid():
        return False
    if not NAME.fullmatch(folder.name) or time.time() - its.st_mtime < ABANDONED_SECONDS:
        return False
    inside = [path.name for path in folder.iterdir()]
    return bool(inside) and all(map(INSIDE.fullmatch, inside))


def _lock(folder: Path, sort: int) -> int | None:
    """A descriptor that has a lock on ``folder``; None: others hold it, or locks don't work."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, sort | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
