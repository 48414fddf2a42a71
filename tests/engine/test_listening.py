"""What the processes of a run listen on, by the kernel's own tables, and what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from cifarzoo.engine.distributed.private_folder import hold, private_folder
from tests.cli.small_run import CONFIG
from tests.listening import LOOPBACK, processes, seen

LONG = ("-s", "run.epochs=2000")


def start(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    """A command in a session of its own, with a folder of its own for temporary files."""
    (folder / "tmp").mkdir()
    (folder / "small.gin").write_text(CONFIG)
    return subprocess.Popen(
        [sys.executable, "-m", "cifarzoo", *command],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_all(process: subprocess.Popen[bytes]) -> None:
    for pid in processes(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def left(folder: Path) -> list[str]:
    """What lies in its folder for temporary files, but for an empty one that torch makes."""
    paths = (folder / "tmp").rglob("*")
    return [path.name for path in paths if not path.name.startswith("torchinductor_")]


def test_ranks_listen_on_loopback_alone_and_leave_nothing(tmp_path):
    process = start(tmp_path, "run", "small.gin", "-n", "2", "--run-dir", "r")

    found = set().union(*seen(process))

    assert process.wait() == 0
    assert found  # or nothing was looked at
    assert found <= LOOPBACK
    assert left(tmp_path) == []


def test_what_ranks_that_were_killed_left_goes_with_the_next_ones(tmp_path, monkeypatch):
    process = start(tmp_path, "run", "small.gin", "-n", "2", "--run-dir", "r", *LONG)
    for _ in seen(process):
        if (tmp_path / "r/metrics.jsonl").exists():
            kill_all(process)
    process.wait()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    folders = list((tmp_path / "tmp").glob("cifarzoo-*"))
    assert len(folders) == 2  # the ranks' notes, and the fork server's socket

    with private_folder():
        assert all(folder.exists() for folder in folders)  # may be new, and not held yet
    for folder in folders:
        os.utime(folder, (1, 1))
    with private_folder():
        assert not any(folder.exists() for folder in folders)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def abandoned(folder: Path) -> Path:
    """A folder as ranks make it, long ago."""
    (folder / "attempt-0").mkdir(parents=True)
    os.utime(folder, (1, 1))
    return folder


def test_a_folder_that_is_held_stays(place):
    folder = abandoned(place / "cifarzoo-abcdefgh")
    held = hold(folder)

    with private_folder():
        assert folder.exists()
    os.close(held)
    with private_folder() as mine:
        assert not folder.exists()
        assert mine.stat().st_mode & 0o777 == 0o700
    assert list(place.iterdir()) == []


def test_what_ranks_did_not_make_stays(place):
    own = [
        abandoned(place / "cifarzoo-results"),
        abandoned(place / "cifarzoo-a"),
        place / "cifarzoo-abcdefgi",
    ]
    (own[0] / "notes.txt").write_text("")
    own[2].mkdir()
    own.append(place / "cifarzoo-abcdefgj")
    own[3].symlink_to(abandoned(place / "elsewhere"))
    for folder in own[:3]:
        os.utime(folder, (1, 1))

    with private_folder():
        pass

    assert all(path.exists() for path in own)
    assert (place / "elsewhere/attempt-0").exists()
