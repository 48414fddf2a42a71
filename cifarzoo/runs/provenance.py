"""Where a result comes from: versions, code, machine. Recorded in run.json."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cifarzoo

PACKAGES = ("cifarzoo", "torch", "torchvision", "numpy", "gin-config")


def provenance(argv: list[str]) -> dict[str, Any]:
    """Everything about this process that may matter to somebody who repeats the run."""
    return {
        "command": argv,
        "folder": str(Path.cwd()),
        "git": git_state(Path.cwd()),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "machine": {
            "system": platform.platform(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
        },
    }


def code_digest() -> str:
    """SHA-256 (hex) of cifarzoo's own source files, names and bytes."""
    package = Path(cifarzoo.__file__).parent
    sha256 = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        sha256.update(f"{path.relative_to(package)}\n".encode())
        sha256.update(path.read_bytes())
    return sha256.hexdigest()


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that is checked out in ``folder`` and whether files differ from it."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}


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
