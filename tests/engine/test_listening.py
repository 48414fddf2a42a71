"""What the processes of a run listen on, by the kernel's own tables, and what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cifarzoo.engine.distributed.private_folder import hold, private_folder
from tests.cli.small_run import CONFIG
from tests.listening import LOOPBACK, processes, seen

TMP = "a-folder-for-temporary-files-whose-name-is-too-long-for-the-sockets-in-it"
LONG = ("-s", "run.epochs=2000")


def start(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    """A command in a session of its own, with a folder of its own for temporary files."""
    (folder / TMP).mkdir(exist_ok=True)
    (folder / "small.gin").write_text(CONFIG)
    return subprocess.Popen(
        [sys.executable, "-m", "cifarzoo", *command],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder / TMP)},
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
    paths = (folder / TMP).rglob("*")
    return [path.name for path in paths if not path.name.startswith("torchinductor_")]


def test_ranks_listen_on_loopback_alone_and_leave_nothing(tmp_path):
    process = start(tmp_path, "run", "small.gin", "-n", "2", "--run-dir", "r")

    found = set().union(*seen(process))

    assert process.wait() == 0
    assert found  # or nothing was looked at
    assert found <= LOOPBACK
    assert left(tmp_path) == []


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with room for the path of a socket in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_what_ranks_that_were_killed_left_goes_with_the_next_ones(short_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.TMP", "t")
    tmp_path = short_path
    process = start(tmp_path, "run", "small.gin", "-n", "2", "--run-dir", "r", *LONG)
    for _ in seen(process):
        if (tmp_path / "r/metrics.jsonl").exists():
            kill_all(process)
    process.wait()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / TMP))
    folders = list((tmp_path / TMP).glob("cifarzoo-*"))
    assert len(folders) == 2  # the ranks' notes, and the fork server's socket

    with private_folder():
        assert all(folder.exists() for folder in folders)  # may be new, and not held yet
    for folder in folders:
        os.utime(folder, (1, 1))
    until = time.monotonic() + 30  # the last of those that were killed may still be ending
    while any(folder.exists() for folder in folders) and time.monotonic() < until:
        with private_folder():
            time.sleep(0.1)
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
