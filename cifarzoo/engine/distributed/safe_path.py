"""Keeps the current folder from taking the place of modules: Python looks there first.

A file of a user's such as ``queue.py`` or ``json.py`` would be imported in the place of the
standard library's, and one of a stranger's, beside received data, would be run.
"""

from __future__ import annotations

import os  # and not pathlib, which would import others before the folder is left
import sys
from collections.abc import Iterator
from contextlib import contextmanager

HOME = os.path.realpath(f"{__file__}/../../../..")  # what cifarzoo itself was imported from
SAFE_PATH = "PYTHONSAFEPATH"  # keeps ``python -c`` and ``-m`` from putting that folder first
PATH = "PYTHONPATH"


def leave_current_folder() -> None:
    """Import nothing from the current folder from here on; for programs that are ours."""
    sys.path[:] = safe_order(sys.path, keep=False)


@contextmanager
def safe_path() -> Iterator[None]:
    """The current folder comes last in what this process and those that it starts import.

    It isn't left out: a script or a notebook may have modules there that its ranks need.
    """
    path = list(sys.path)
    before = {name: os.environ.get(name) for name in (SAFE_PATH, PATH)}
    sys.path[:] = safe_order(path, keep=True)
    os.environ[SAFE_PATH] = "1"
    # Python 3.11 doesn't hand ``sys.path`` to the fork server, which then would preload another
    # cifarzoo than this one, or none.
    os.environ[PATH] = os.pathsep.join(e for e in sys.path if os.pathsep not in e)
    try:
        yield
    finally:
        sys.path[:] = path
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def safe_order(path: list[str], *, keep: bool) -> list[str]:
    """The entries of ``path`` without the current folder, or with it behind all others.

    A folder that ``PYTHONPATH`` names stays where it is. One that cifarzoo itself lies in, as a
    checkout, comes right behind the standard library: another cifarzoo may be installed.

    Args:
        path: Entries as of ``sys.path``.
        keep: Whether the current folder stays, as the last.
    """
    try:
        here = os.path.realpath("")
    except OSError:  # it was deleted
        return [entry for entry in path if entry]
    chosen = [name for name in os.environ.get(PATH, "").split(os.pathsep) if name]
    if here in map(os.path.realpath, chosen):
        return list(path)
    safe = [entry for entry in path if os.path.realpath(entry) != here]
    if len(safe) == len(path):
        return safe
    if here == HOME:
        library = os.path.realpath(f"{os.__file__}/..")
        ends = [safe.index(each) for each in (library, f"{library}/lib-dynload") if each in safe]
        safe.insert(max(ends, default=-1) + 1, here)
    elif keep:
        safe.append(here)
    return safe
