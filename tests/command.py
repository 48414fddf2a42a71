"""Commands of the command line, in this process or on a terminal."""

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from cifarzoo.cli.app import app


def invoke(*command: str | Path, **env: str) -> Result:
    return CliRunner().invoke(app, [str(word) for word in command], env=env or None)


def succeed(*command: str | Path, **env: str) -> str:
    result = invoke(*command, **env)
    assert result.exit_code == 0, result.output
    return result.stdout


def refuse(*command: str | Path) -> str:
    """Run a command that must be refused, and give what it says."""
    result = invoke(*command)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert not result.stdout
    return result.stderr


def on_a_terminal(*command: str, env: dict[str, str], stream: str = "stderr") -> str:
    """What a command writes to a terminal as its stderr, or its stdout."""
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "cifarzoo", *command]
    text = b""
    with subprocess.Popen(line, **{stream: theirs}, env=env):
        os.close(theirs)
        with contextlib.suppress(OSError):  # as reading ends once nobody can write
            while block := os.read(ours, 10_000):
                text += block
    return text.decode()
