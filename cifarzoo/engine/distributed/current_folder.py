"""Keeps the current folder from taking the place of modules: Python looks there first.

A file of a user's such as ``queue.py`` or ``json.py`` would be imported in the place of the
standard library's, and one of a stranger's, beside received data, would be run. Here is imported
what Python itself has imported before, and nothing else, not even ``__future__``.
"""

import os
import sys

HOME = os.path.realpath(f"{__file__}/../../../..")  # what cifarzoo itself was imported from
SAFE_PATH = "PYTHONSAFEPATH"  # keeps ``python -c`` and ``-m`` from putting that folder first
PATH = "PYTHONPATH"


def leave_current_folder() -> None:
    """Import nothing from the current folder from here on; for programs that are ours.

    Nor do Python processes that are started from now on, by whichever library.
    """
    sys.path[:] = safe_order(sys.path, keep=False)
    os.environ[SAFE_PATH] = "1"


def safe_order(path: list[str], *, keep: bool) -> list[str]:
    """The entries of ``path`` without the current folder, or with it behind all others.

    A folder that ``PYTHONPATH`` names in full stays where it is. By a relative name such as ``.``
    it is another one wherever a command is started: it comes behind all others. One that cifarzoo
    itself lies in, as a checkout, comes right behind the standard library: another cifarzoo may be
    installed.

    Args:
        path: Entries as of ``sys.path``.
        keep: Whether the current folder stays, as the last.
    """
    moving = moving_folders()
    safe = [entry for entry in path if entry and os.path.realpath(entry) not in moving]
    if len(safe) == len(path):
        return safe
    if HOME in moving:
        library = os.path.realpath(f"{os.__file__}/..")
        ends = [safe.index(each) for each in (library, f"{library}/lib-dynload") if each in safe]
        safe.insert(max(ends, default=-1) + 1, HOME)
    return safe + [folder for folder in moving if folder != HOME and (keep or moving[folder])]


def moving_folders() -> dict[str, bool]:
    """Folders that depend on where a command is started, and whether ``PYTHONPATH`` names them."""
    given = [name for name in os.environ.get(PATH, "").split(os.pathsep) if name]
    in_full = [name for name in given if os.path.isabs(name)]  # noqa: PTH117  (imports pathlib)
    try:
        found = {os.path.realpath(name): True for name in given if name not in in_full}
        found.setdefault(os.path.realpath(""), False)
    except OSError:  # the current folder was deleted
        return {}
    staying = [os.path.realpath(name) for name in in_full]
    return {folder: is_named for folder, is_named in found.items() if folder not in staying}
