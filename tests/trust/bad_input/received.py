# ruff: noqa: E501  # a case is easiest to read on a line

"""Row 64: runs that somebody else made, whose plugins are code."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from cifarzoo.components.plugin_files import read_plugins
from tests.received_run import forget
from tests.trust.bad_input.case import Case
from tests.trust.bad_input.small import small_config

CONFIG = small_config("run.epochs = 1", "run.max_steps = 1", images=(32, 20), schedule="cosine")
PLUGIN = """\
from pathlib import Path
from cifarzoo import register

Path("ran").touch()


@register.schedule(override=True)
def cosine():
    '''Another one than ours.'''
    return lambda time: 1.0
"""
REFUSED = (
    r"^r/plugins/{} \(SHA-256 [0-9a-f]{{12}}…, replaces cosine{}\) came with the run, and no run of yours is "
    r"known to have begun with it; it is code: read it, then give --trust-plugins \(in Python trust_plugins=True\)$"
)
STATE = {"CIFARZOO_STATE": "{root}/work/state"}


@cache
def theirs(plugin: str) -> Path:
    """The folder of their run with a plugin file, or the folder of one, made once."""
    from typer.testing import CliRunner

    from cifarzoo.cli.app import app

    root, here = Path(tempfile.mkdtemp(prefix="bad-input-received-")), Path.cwd()
    (root / "p").mkdir()
    (root / "p/cosine.py").write_text(PLUGIN)
    (root / "c.gin").write_text(CONFIG)
    os.chdir(root)
    try:
        words = ["run", "c.gin", "--run-dir", "r", "-p", plugin]
        done = CliRunner().invoke(app, words, env={"CIFARZOO_STATE": "state"})
    finally:
        os.chdir(here)
    if done.exit_code:
        raise RuntimeError(done.output)
    return root / "r"


def known(folder: Path) -> Path:
    """Note the plugins of ``folder/r`` as this user's, in ``folder/state``; the note of one."""
    notes = folder / "state/plugins"
    notes.mkdir(parents=True, mode=0o700)
    [path] = (folder / "r/plugins").iterdir()
    [plugin] = read_plugins([path], variable="")
    (notes / plugin.sha256).touch()
    return notes / plugin.sha256


def received(
    name: str,
    *command: str,
    change: Callable[[Path], object] | None = None,
    plugin: str = "p/cosine.py",
    says: str | None = None,
    **more: Any,
) -> Case:
    """A command in the folder of ``r``, which somebody else sent, after a ``change``."""

    def prepare(folder: Path) -> None:
        shutil.copytree(theirs(plugin), folder / "r")
        if change:
            change(folder)
        forget()

    expected = REFUSED.format("cosine.py", "") if says is None else says
    return Case(row=64, name=name, command=command, says=expected, prepare=prepare, needs_torch=True,
                **{"files": {"own.gin": CONFIG}, **more})  # fmt: skip


def edited(folder: Path) -> None:
    """Change the copy after it was noted."""
    known(folder)
    (folder / "r/plugins/cosine.py").write_text(PLUGIN + "\n")


def beside(folder: Path) -> None:
    """Put what the digest of a plugin folder doesn't cover into the copy of one."""
    known(folder)
    (folder / "r/plugins/p/fast.pyc").write_bytes(b"")


def open_to_all(folder: Path) -> None:
    """Let others write to where it is noted what is known."""
    known(folder).parent.chmod(0o777)


def linked(folder: Path) -> None:
    """Have a link for a note."""
    note = known(folder)
    note.unlink()
    note.symlink_to(folder / "own.gin")


COPY = r"^runs the run's own copy r/plugins/cosine.py \(SHA-256 [0-9a-f]{12}…, replaces cosine\)$"
CASES = [
    received("eval of a stranger's run", "eval", "r"),
    received("resume of a stranger's run", "resume", "r"),
    received("a run of a stranger's config", "run", "r/config.gin"),
    received("a run that begins where a stranger's stood", "run", "r/config.gin", "--from", "r", "-s", "run.max_steps=2"),
    received("two processes with a stranger's config", "run", "r/resolved.gin", "--nproc", "2"),
    received("bench of a stranger's config", "bench", "r/config.gin", "--steps", "1"),
    received("own config, a stranger's weights", "run", "own.gin", "-s", "run.initial_weights='r'", "--dry-run",
             says="", exit_code=0, prints="parameters"),
    received("show of a stranger's config", "show", "r/config.gin", exit_code=0, prints="cosine",
             says=r"^warning: what it builds isn't shown: r/plugins/cosine.py \(SHA-256"),
    received("check of a stranger's config", "check", "r/config.gin", exit_code=0, says="",
             prints=r"  r/plugins/cosine.py \(.*\) is code that run needs --trust-plugins for"),
    received("an own run is tested", "eval", "r", change=known, environment=STATE, exit_code=0, says=COPY,
             prints="test error", leaves=("ran",)),
    received("a stranger is trusted", "eval", "r", "--trust-plugins", environment=STATE, exit_code=0, says=COPY,
             prints="test error", leaves=("ran", "state")),
    received("a stranger is trusted where nothing can be noted", "eval", "r", "--trust-plugins",
             environment={"CIFARZOO_STATE": "own.gin/x"}, exit_code=0, prints="test error", leaves=("ran",), lines=2,
             says=r"^warning: the run's plugins cannot be noted as yours \(.*own.gin/x: Not a directory\)"),
    received("a copy that was edited", "eval", "r", change=edited, environment=STATE),
    received("a note in a folder of everybody's", "eval", "r", change=open_to_all, environment=STATE),
    received("a note that is a link", "eval", "r", change=linked, environment=STATE),
    received("a plugin folder with more in it", "eval", "r", plugin="p", change=beside, environment=STATE,
             says=REFUSED.format("p", ", beside fast.pyc, which no run keeps")),
]  # fmt: skip
