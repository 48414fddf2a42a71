"""Folders of this user's own, which nobody else can write in or fill beforehand."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from pathlib import Path

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
DEFAULT = "torchinductor_"  # begins the name of the folder that torch takes by itself
OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def compile_cache() -> Path:
    """Have torch keep what it compiles, and loads again, in a folder of this user's own.

    Its default is a folder of ``/tmp`` that is called after the user, and that anybody on a shared
    machine can make first, and fill. torch asks once, when the first optimizer is made.

    Returns:
        The folder: this one, or what ``TORCHINDUCTOR_CACHE_DIR`` names.
    """
    given = Path(os.environ.get(VARIABLE, ""))
    # What torch has set itself is no wish of the user's.
    is_default = given.parent == Path(tempfile.gettempdir()) and given.name.startswith(DEFAULT)
    if not os.environ.get(VARIABLE) or is_default:
        given = cache_folder("torch")
        os.environ[VARIABLE] = str(given)
    return given


def cache_folder(name: str) -> Path:
    """A folder for what can be made again, below this user's caches, or else until this ends.

    Args:
        name: Name of the folder.
    """
    try:
        return lasting_cache_folder(name)
    except OSError:
        return _until_the_end(name)


def lasting_cache_folder(name: str) -> Path:
    """A folder for what can be made again, below this user's caches.

    Args:
        name: Name of the folder.

    Raises:
        OSError: There is no home, the disk is read-only, or the folder is somebody else's.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        caches = given if given.is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise FileNotFoundError(f"this user has no home folder: {error}") from None
    for folder in (caches / "cifarzoo", caches / "cifarzoo" / name):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _keep_others_out(folder)
    return folder


def _keep_others_out(folder: Path) -> None:
    """Make a folder of this user's private.

    Raises:
        OSError: It is a link, or somebody else's.
    """
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(number)
        if status.st_uid != os.geteuid():
            raise PermissionError(f"{folder} is somebody else's")
        if status.st_mode & OF_OTHERS:
            os.fchmod(number, 0o700)
    finally:
        os.close(number)


def _until_the_end(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"cifarzoo-{name}-"))
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # and not in a process that was forked from it
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
