"""A config that comes through a pipe, or lies in a file of another ending."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import refuse, succeed

TINY = "include 'quickstart.gin'\nrun.epochs = 3\n"


def piped(text: str, *command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "cifarzoo", *command]
    return subprocess.run(line, input=text, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_a_pipe_is_read(name: str, tmp_path: Path):
    done = piped(TINY, "check", name, "-s", "run.seed=1", folder=tmp_path)

    assert (done.returncode, done.stdout[: len(name) + 6]) == (0, f"{name}: fine")


def test_a_mistake_in_a_pipe_has_its_line(tmp_path: Path):
    done = piped(f"{TINY}run.epoch = 3\n", "check", "-", folder=tmp_path)

    assert done.returncode == 2
    assert done.stderr == "<stdin>:3: run has no parameter 'epoch'; did you mean epochs?\n"


def test_a_pipe_of_the_shell_is_read():
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        pipe.write(TINY)

    assert "fine" in succeed("check", f"/dev/fd/{reading}")  # as <(generate) is
    os.close(reading)


def test_a_named_pipe_that_nobody_may_ever_write_to_is_no_config(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")

    assert "no config" in refuse("check", tmp_path / "pipe")


def test_what_never_ends_is_refused():
    assert "/dev/zero: it has more than 131072 bytes" in refuse("check", "/dev/zero")


def test_show_finds_what_run_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "x.conf").write_text(TINY)
    (tmp_path / "y.gin").write_text(TINY)
    monkeypatch.chdir(tmp_path)

    for name in ("x.conf", "./x.conf", "y", "y.gin", "quickstart"):
        assert "fine" in succeed("check", name)
        assert "run.epochs" in succeed("show", name)
    assert "no component 'z.conf'" in refuse("show", "z.conf")
    assert "no config './z.conf'" in refuse("show", "./z.conf")
