"""What a user has in a folder of runs stays there, whatever becomes of a run in it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from cifarzoo.errors import UsageError
from cifarzoo.run_folders.folder import RunFolder, adopt
from tests.cli.small_run import CONFIG, cifarzoo, result_of

PLUGIN = '''
from cifarzoo import register


@register.schedule
def mine():
    """One."""
    return lambda moment: 1.0
'''
NO_DATA = CONFIG.replace("@glyphs", "@cifar10").replace("@cosine", "@mine")
NO_DATA = "".join(f"{line}\n" for line in NO_DATA.splitlines() if "glyphs." not in line)


def content(folder: Path) -> dict[str, Any]:
    """Every file by its path, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def by_hand(here: Path) -> Path:
    """A run's folder as somebody may write it by hand, whose run can't start."""
    (here / "r/plugins/2").mkdir(parents=True)
    (here / "r/config.gin").write_text(NO_DATA)
    (here / "r/plugins/mine.py").write_text(PLUGIN)
    (here / "r/plugins/2/other.py").write_text(PLUGIN.replace("mine", "other"))
    (here / "r/.run.json.swp").write_text("of an editor")
    return here / "r"


STARTS = {
    "resume": ("resume", "r", "--trust-plugins"),
    "run": ("run", "r/config.gin", "--run-dir", "r", "-p", "r/plugins/mine.py"),
}


@pytest.mark.parametrize("command", STARTS.values(), ids=STARTS)
def test_a_start_that_fails_leaves_a_folder_as_it_was(by_hand, command):
    before = content(by_hand)

    done = cifarzoo(*command)

    assert done.exit_code == 2, done.output
    assert "CIFAR-10 needs a folder" in done.stderr
    assert content(by_hand) == before


def test_a_start_that_fails_on_launched_ranks_leaves_it_so_too(by_hand):
    """Which each open the folder for themselves."""
    (by_hand / "config.gin").write_text(
        CONFIG.replace("@cosine", "@mine") + "run.initial_weights = 'none.pt'\n"
    )
    before = content(by_hand)

    done = cifarzoo("resume", "r", "--trust-plugins", "--nproc", "2")

    assert done.exit_code == 2, done.output
    assert "'none.pt', which cannot be read: No such file" in done.stderr
    assert content(by_hand) == before


def test_a_rank_that_ends_just_before_it_is_signalled_is_no_error(by_hand, monkeypatch):
    (by_hand / "config.gin").write_text(
        CONFIG.replace("@cosine", "@mine") + "run.initial_weights = 'none.pt'\n"
    )
    late = []

    def kill_late(pid, number):
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        late.append(pid)
        kill(pid, number)

    kill = os.kill
    # Which is what a process that is still there, and is gone when the signal comes, looks like.
    monkeypatch.setattr("multiprocessing.process.BaseProcess.is_alive", lambda _self: True)
    monkeypatch.setattr("cifarzoo.engine.distributed.launcher.os.kill", kill_late)

    done = cifarzoo("resume", "r", "--trust-plugins", "--nproc", "2")

    assert late
    assert done.exit_code == 2, done.output
    assert "'none.pt', which cannot be read: No such file" in done.stderr


def test_a_start_that_fails_in_a_new_folder_leaves_nothing_on_launched_ranks_either(here):
    options = ("--nproc", "2", "-s", "run.initial_weights='none.pt'")

    done = cifarzoo("run", "small.gin", "--run-dir", "new/r", *options)

    assert done.exit_code == 2, done.output
    assert not (here / "new").exists()


def test_a_run_that_an_earlier_call_began_is_kept_though_it_did_nothing(by_hand):
    """One that was killed while it read its data."""
    record = {"schema": 1, "status": "running", "note": "mine"}
    (by_hand / "run.json").write_text(json.dumps(record))
    before = content(by_hand)

    done = cifarzoo("resume", "r", "--trust-plugins")

    assert done.exit_code == 2, done.output
    after = content(by_hand)
    assert after.keys() - before.keys() == {"resolved.gin", ".lock"}
    now = json.loads(after["run.json"])
    assert (now["note"], now["status"]) == ("mine", "failed")
    assert "CIFAR-10 needs a folder" in now["error"]


def test_a_run_by_hand_trains_and_what_was_there_stays(by_hand):
    resolved = "# every value\n"
    (by_hand / "config.gin").write_text(CONFIG.replace("@cosine", "@mine"))
    (by_hand / "resolved.gin").write_text(resolved)
    before = content(by_hand)

    result_of("resume", "r", "--trust-plugins", "-s", "run.checkpoint_steps=9")

    after = content(by_hand)
    assert {name: after[name] for name in before} == before


def test_metrics_of_no_run_are_not_cut_off(here):
    (here / "r").mkdir()
    (here / "r/config.gin").write_text(CONFIG)
    (here / "r/metrics.jsonl").write_text('{"epoch": 1}\n')
    before = content(here)

    done = cifarzoo("resume", "r", "--trust-plugins")

    assert done.exit_code == 2
    assert "r/metrics.jsonl is there, and no run.json of the run that it is of; put" in done.stderr
    assert content(here) == before


def test_another_plugin_in_the_place_of_a_copy_is_not_overwritten(here):
    (here / "r/plugins").mkdir(parents=True)
    (here / "r/config.gin").write_text(CONFIG.replace("@cosine", "@mine"))
    (here / "r/plugins/mine.py").write_text("# my own\n")
    (here / "mine.py").write_text(PLUGIN)
    before = content(here)

    done = cifarzoo("run", "r/config.gin", "-p", "mine.py", "--run-dir", "r")

    assert done.exit_code == 2
    assert (
        "r/plugins/mine.py is there, and isn't the plugin that this run has to keep" in done.stderr
    )
    assert content(here) == before


def test_an_editors_files_are_no_leftovers_of_a_start(here):
    (here / "r").mkdir()
    (here / "r/.config.gin.swp").write_text("of an editor")

    with pytest.raises(UsageError, match="r holds other files; expected an empty folder"):
        adopt(here / "r", "x = 1\n")

    assert (here / "r/.config.gin.swp").exists()


def test_what_was_put_into_a_folder_that_a_start_made_keeps_it(here):
    folder, _ = adopt(here / "new/r", "x = 1\n")
    folder.update(status="running")
    (folder.path / "notes.txt").write_text("mine")

    folder.discard()

    assert content(here / "new") == {"r": None, "r/notes.txt": b"mine"}


def test_a_folder_is_discarded_once(here):
    folder, _ = adopt(here / "r", "x = 1\n")
    folder.discard()
    RunFolder(here / "r")
    adopt(here / "r", "x = 2\n")

    folder.discard()

    assert (here / "r/config.gin").read_text() == "x = 2\n"
