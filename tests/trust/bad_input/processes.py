# ruff: noqa: E501  # a case is easiest to read on a line

"""Rows 62, 63 and 66: what a run's processes, or git, might run of the current folder, and ports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from tests.trust.bad_input.case import Case
from tests.trust.bad_input.small import small_config

CONFIG = small_config("run.max_steps = 1", images=(32, 20))
RAN = "import os\nos.close(os.open({mark!r}, os.O_CREAT))\nraise SystemExit({name!r} + ' of the current folder')\n"
OTHERS = (
    "torch",
    "torchvision",
    "numpy",
    "gin",
    "rich",
    "typer",
    "click",
    "tensorboardX",
    "cifarzoo",
)
AT_START = ("sitecustomize", "usercustomize")
SCRIPT = "import sys; sys.path[:] = filter(None, sys.path); from cifarzoo.cli import main; main()"
STARTED = f'python=$1; shift 3; "$python" -c \'{SCRIPT}\' "$@"'
HOME = str(Path(__file__).parents[3])


def modules(folder: Path) -> None:
    """A file by the name of every module, which leaves another file where it is imported."""
    for name in (*sys.stdlib_module_names, *OTHERS, *AT_START):
        (folder / f"{name}.py").write_text(RAN.format(mark=f"{folder}/ran-{name}", name=name))


def late_modules(folder: Path) -> None:
    """The same, without those that Python itself imports from there before a command begins."""
    code = "import contextlib, importlib.util, pkgutil, runpy, sys; print(*sys.modules)"
    own = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    modules(folder)
    for name in (*own.stdout.decode().split(), *AT_START, "cifarzoo"):
        (folder / f"{name}.py").unlink(missing_ok=True)
    for name in sys.stdlib_module_names:
        if PathFinder.find_spec(name) is None:  # of other systems, asked for as Python starts
            (folder / f"{name}.py").unlink(missing_ok=True)


def beside(
    name: str,
    *command: str,
    shell: str = STARTED,
    prepare: Callable[[Path], None] = modules,
    **more: Any,
) -> Case:
    """A command, as it is installed, in a folder that has a file for every module."""
    fixed: dict[str, Any] = {
        "exit_code": 0,
        "lines": None,
        "files": {"c.gin": CONFIG},
        "needs_torch": True,
    }
    return Case(
        row=62,
        name=name,
        command=command,
        shell=shell,
        prepare=prepare,
        environment={"PYTHONPATH": HOME, **more.pop("environment", {})},
        **(fixed | more),
    )


IMPORTS = [
    beside("files for modules, and two processes", "run", "c.gin", "-n", "2", leaves=("runs",)),
    beside("files for modules, and doctor", "doctor", prints="torch"),
    beside("files for modules, and a config that is checked", "check", "c.gin", prints="fine", needs_torch=False),
    beside("files for modules, and the current folder in PYTHONPATH by a relative name", "check", "c.gin",
           shell='"$@"', prepare=late_modules, environment={"PYTHONPATH": f"{HOME}:."}, prints="fine", needs_torch=False),
    beside("files for modules, and python -m", "run", "c.gin", "-n", "2", shell='"$@"', prepare=late_modules, leaves=("runs",)),
]  # fmt: skip


def git(folder: Path, *arguments: str) -> None:
    """A command of git's."""
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def repository(
    settings: dict[str, str], more: Callable[[Path], Any] = lambda _: None
) -> Callable[[Path], None]:
    """A repository whose configuration has ``settings``, in which PROGRAM leaves a file."""

    def prepare(folder: Path) -> None:
        program = folder / "program"
        program.write_text(f"#!/bin/sh\n: > {folder}/ran\nexit 1\n")
        program.chmod(0o755)
        (folder / ".gitattributes").write_text("*.gin filter=x diff=x\n")
        git(folder, "init", "--quiet")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", "received")
        for name, value in settings.items():
            git(folder, "config", name, value.replace("PROGRAM", str(program)))
        more(folder)
        os.utime(folder / "c.gin", (1, 1))  # so that git reads it again

    return prepare


def with_hook(folder: Path) -> None:
    """A hook that git runs when it writes its index."""
    (folder / ".git/hooks").mkdir(exist_ok=True)
    shutil.copy(folder / "program", folder / ".git/hooks/post-index-change")


def without_objects(folder: Path) -> None:
    """A partial clone, which git would complete."""
    for path in (folder / ".git/objects").glob("??/*"):
        path.unlink()


def in_repository(name: str, prepare: Callable[[Path], None]) -> Case:
    """A run in a folder that somebody hands over with its ``.git``."""
    return Case(row=63, name=name, command=("run", "c.gin"), exit_code=0, lines=None, files={"c.gin": CONFIG},
                prepare=prepare, leaves=("runs",), needs_torch=True)  # fmt: skip


PARTIAL = {
    "extensions.partialClone": "origin",
    "remote.origin.promisor": "true",
    "protocol.ext.allow": "always",
}
GIT = [
    in_repository("a repository with a monitor of the file system", repository({"core.fsmonitor": "PROGRAM"})),
    in_repository("a repository with filters", repository({"filter.x.clean": "PROGRAM", "filter.x.process": "PROGRAM", "filter.x.required": "true"})),
    in_repository("a repository with a filter that can't be turned off", repository(
        {"filter.a=b.clean": "PROGRAM"}, lambda folder: (folder / ".git/info/attributes").write_text("*.gin filter=a=b\n"))),
    in_repository("a repository with a hook", repository({"core.pager": "PROGRAM", "diff.external": "PROGRAM"}, with_hook)),
    in_repository("a repository that lacks what a program would fetch", repository({**PARTIAL, "remote.origin.url": "ext::PROGRAM"}, without_objects)),
]  # fmt: skip
PORTS = [
    Case(row=66, name=name, command=command, shell='"$1" -m tests.listening "$@"', exit_code=0, lines=None, prints=prints, files={"c.gin": CONFIG},
         environment={"PYTHONPATH": HOME}, leaves=("runs",), needs_torch=True)
    for name, command, prints in (
        ("ports of two processes", ("run", "c.gin", "-n", "2"), "^loopback alone$"),
        ("ports of one process", ("run", "c.gin"), "^nothing$"),
    )
]  # fmt: skip
CASES = [*IMPORTS, *GIT, *PORTS]
