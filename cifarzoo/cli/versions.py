"""Which cifarzoo, torch and commit this is, without importing torch."""

from __future__ import annotations

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
    from cifarzoo.run_folders.git import git_state

    checkout = Path(cifarzoo.__file__).parents[1]
    state = git_state(checkout) if (checkout / ".git").exists() else None
    return f"{state['commit'][:8]}{'+' * state['dirty']}" if state else None
