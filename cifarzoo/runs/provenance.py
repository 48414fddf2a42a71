"""Where a result comes from: versions, code, machine. Recorded in run.json."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cifarzoo
from cifarzoo.components.code import code_digest

PACKAGES = ("cifarzoo", "torch", "torchvision", "numpy", "gin-config")


def provenance(argv: list[str]) -> dict[str, Any]:
    """Everything about this process that may matter to somebody who repeats the run."""
    return {
        "command": argv,
        "folder": str(Path.cwd()),
        "git": git_state(Path.cwd()),
        "cifarzoo": {**own_code(), "git": _own_git()},
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "machine": {
            "system": platform.platform(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
        },
    }


def own_code() -> dict[str, str]:
    """The version of cifarzoo, and the digest of its code."""
    package = Path(cifarzoo.__file__).parent
    return {"version": cifarzoo.__version__, "sha256": code_digest(package)}


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that is checked out in ``folder`` and whether files differ from it."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}


def _own_git() -> dict[str, Any] | None:
    """The state of cifarzoo's checkout; None: it is installed, may be below another one."""
    here = Path(cifarzoo.__file__)
    is_tracked = _git(here.parent, "ls-files", "--error-unmatch", here.name) is not None
    return git_state(here.parent) if is_tracked else None


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(  # noqa: S603  (a fixed command, no shell)
            command, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


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
