"""Runs that teach others, opened as those are that are tested."""

from __future__ import annotations

from cifarzoo.api.identity import trained_otherwise
from cifarzoo.api.reopening import reopen
from cifarzoo.components.registry import register
from cifarzoo.components.user_paths import expanded
from cifarzoo.engine.teachers import OpenedRun
from cifarzoo.errors import UsageError


def open_teacher(path: str) -> OpenedRun:
    """The run in a folder; its plugins are run as ``cifarzoo.evaluate`` runs them.

    Args:
        path: Path of the folder.

    Raises:
        UsageError: There is no such folder, or it holds no run, or one that isn't readable.
        ConfigProblemsError: Its config can't be used any more.
        UntrustedPluginError: It needs a plugin in its folder, which may be somebody else's code.
    """
    folder = expanded(path)
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    reopened = reopen(folder, out=folder, data=None)
    with register.kept(), reopened.config.locating():
        return OpenedRun(
            run=reopened.config.build(),
            folder=reopened.folder,
            notes=trained_otherwise(reopened.folder, reopened.config),
        )
