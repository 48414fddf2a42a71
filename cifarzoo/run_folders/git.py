"""What git says of a folder, while nothing runs that the folder's own configuration names.

A folder that somebody hands over may hold a ``.git`` whose configuration names programs, and git
runs those of some settings for no more than its status.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

LONGEST_SECONDS = 10.0  # a large work tree on a slow disk
# Settings by which git's status may run a program. An empty text is off for all versions: false
# would be a program's name before 2.36.
OFF = {
    "core.fsmonitor": "",
    "core.hooksPath": os.devnull,
    "core.pager": "",
    "core.virtualFilesystem": "",  # of Microsoft's git
}
OFF_IN_FILTERS = {"clean": "", "smudge": "", "process": "", "required": "false"}
ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",  # writing the index would run a hook
    # What a partial clone lacks isn't fetched, by whatever command or protocol.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_TERMINAL_PROMPT": "0",
}
# Of git's variables in the user's environment: those that don't choose the repository, which a
# hook that starts a command has for its own.
KEPT = re.compile(r"GIT_(CONFIG_\w+|EXEC_PATH|CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM)$")


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that is checked out in ``folder`` and whether files differ from it.

    Filters don't run: a file that one changes, as git-lfs does, counts as one that differs where
    git has to read it again. Of a submodule its commit counts alone.
    """
    said = _git(folder, "status", "--porcelain=v2", "--branch", "--ignore-submodules=dirty")
    commit = re.search(r"^# branch\.oid ([0-9a-f]+)$", said or "", re.MULTILINE)
    if said is None or commit is None:  # no checkout, or one without a commit
        return None
    return {"commit": commit[1], "dirty": any(line[0] != "#" for line in said.splitlines())}


def is_tracked(file: Path) -> bool:
    """Whether ``file`` belongs to the checkout that its folder lies in."""
    return _git(file.parent, "ls-files", "--error-unmatch", file.name) is not None


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None: it fails, isn't there, or would not be safe to ask."""
    names = _run(folder, OFF, "config", "--null", "--name-only", "--list")
    if names is None:
        return None
    filters = {name.rpartition(".")[0] for name in names.split("\0") if name.startswith("filter.")}
    if any("=" in name for name in filters):  # -c would take its end for the value
        return None
    off = {f"{name}.{key}": value for name in filters for key, value in OFF_IN_FILTERS.items()}
    return _run(folder, OFF | off, *arguments)


def _run(folder: Path, settings: dict[str, str], *arguments: str) -> str | None:
    # A relative entry of PATH would be looked for in the current folder.
    places = filter(os.path.isabs, os.environ.get("PATH", os.defpath).split(os.pathsep))
    program = shutil.which("git", path=os.pathsep.join(places))
    if program is None:
        return None
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("GIT_") or KEPT.match(n)}
    try:
        done = subprocess.run(  # noqa: S603  (no shell)
            [program, "--no-pager", "-C", str(folder), *options, *arguments],
            env=inherited | ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # names of files
            timeout=LONGEST_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
