"""A run's folder as somebody else sends it: its plugin leaves a mark wherever it is imported."""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from cifarzoo.components.annotations import PLUGIN
from tests.cli.small_run import CONFIG, result_of

SOURCE = """\
import pathlib
from cifarzoo import register

pathlib.Path({mark!r}).touch()


@register.schedule(override=True)
def cosine():
    '''Another one than ours.'''
    return lambda time: 1.0
"""


@dataclass(frozen=True)
class Received:
    """The folder, and what tells whether its plugin was imported.

    Attributes:
        path: Folder of the run.
        plugin: The copy of the plugin in it.
        mark: File that importing the plugin makes.
    """

    path: Path
    plugin: Path
    mark: Path

    @property
    def named(self) -> str:
        """The plugin as messages name it."""
        digest = hashlib.sha256(self.plugin.read_bytes()).hexdigest()
        return f"{self.plugin} (SHA-256 {digest[:12]}…, replaces cosine)"

    def was_imported(self) -> bool:
        """Whether the plugin was, since this was asked last."""
        forget()
        was = self.mark.exists()
        self.mark.unlink(missing_ok=True)
        return was


def forget() -> None:
    """Have this process import plugin files again, as another process would."""
    for name in [name for name in sys.modules if name.startswith(PLUGIN)]:
        del sys.modules[name]


def make(folder: Path) -> Received:
    """Train a run whose plugin takes the place of ``cosine``, as its sender did."""
    mark, plugin = folder / "mark", folder / "theirs.py"
    plugin.write_text(SOURCE.format(mark=str(mark)))
    (folder / "c.gin").write_text(f"{CONFIG}run.max_steps = 1\n")
    with pytest.MonkeyPatch.context() as theirs:
        theirs.setenv("CIFARZOO_STATE", str(folder / "state of the sender"))
        result_of("run", str(folder / "c.gin"), "-p", str(plugin), "--run-dir", str(folder / "r"))
    assert mark.exists()
    mark.unlink()
    forget()
    return Received(folder / "r", folder / "r/plugins/theirs.py", mark)


def copied(run: Received, to: Path) -> Received:
    """A copy of it in the current folder, named as a user types it."""
    shutil.copytree(run.path, to)
    return Received(to, to / "plugins/theirs.py", run.mark)
