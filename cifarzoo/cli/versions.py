"""Which cifarzoo, torch and commit this is, without importing torch."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cifarzoo


def version_line() -> str:
    """Such as ``cifarzoo 0.1.0 (git 8c54e8d), torch 2.14.1``."""
    commit = git_commit()
    checkout = f" (git {commit})" if commit else ""
    return f"cifarzoo {cifarzoo.__version__}{checkout}, torch {installed_version('torch')}"


def installed_version(distribution: str) -> str:
    """The version of an installed ``distribution``, or ``not installed``."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def git_commit() -> str | None:
    """The short hash of the checkout that runs, with ``+`` if files differ; None elsewhere."""
    checkout = Path(cifarzoo.__file__).parents[1]
    if not (checkout / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", checkout, "describe", "--always", "--exclude=*", "--dirty=+"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
