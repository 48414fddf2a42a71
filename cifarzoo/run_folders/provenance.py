"""Where a result comes from: versions, code, machine. Recorded in run.json."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cifarzoo
from cifarzoo.components.code import code_digest
from cifarzoo.run_folders.git import git_state, is_tracked

PACKAGES = ("cifarzoo", "torch", "torchvision", "numpy", "gin-config")


def provenance(argv: list[str]) -> dict[str, Any]:
    """Everything about this process that may matter to somebody who repeats the run."""
    with ThreadPoolExecutor() as threads:  # while git reads a work tree, this reads the code
        git, own_git = threads.submit(git_state, Path.cwd()), threads.submit(_own_git)
        own = own_code()
    return {
        "command": argv,
        "folder": str(Path.cwd()),
        "git": git.result(),
        "cifarzoo": {**own, "git": own_git.result()},
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "machine": {
            "system": platform.platform(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
        },
    }


@cache
def own_code() -> Mapping[str, str]:
    """The version of cifarzoo, and the digest of its code when this process first asked."""
    package = Path(cifarzoo.__file__).parent
    return {"version": cifarzoo.__version__, "sha256": code_digest(package)}


def _own_git() -> dict[str, Any] | None:
    """The state of cifarzoo's checkout; None: it is installed, may be below another one."""
    here = Path(cifarzoo.__file__)
    return git_state(here.parent) if is_tracked(here) else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
