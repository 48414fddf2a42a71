"""Checkpoints are whole or absent, and damage is never loaded."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from cifarzoo.engine.checkpoint import FORMAT, Checkpoints
from cifarzoo.engine.state import Progress
from cifarzoo.errors import CheckpointError
from tests.full_disk import no_file_larger_than


def state_of(step: int, **changes: Any) -> dict[str, Any]:
    """A state that a run may have at ``step``."""
    numbers = asdict(Progress(step=step))
    return {
        "model": {"w": torch.arange(2000.0)},
        "optimizer": {},
        "average": None,
        "scaler": {},
        "numbers": numbers,
        "metrics_size": 0,
        **changes,
    }


STATE = state_of(7)
FACTS = {"config": "digest"}


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def checkpoints(tmp_path, warnings) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", keep=2, warn=warnings.append)


def save(checkpoints: Checkpoints, *steps: int, best: int | None = None) -> None:
    for step in steps:
        assert checkpoints.save(step, state_of(step), facts=FACTS, best=best)


def rewrite_manifest(folder: Path, **changes: object) -> None:
    """A manifest whose own digest is right again."""
    body, _, _ = (folder / "manifest.json").read_text().rstrip("\n").rpartition("\n")
    body = json.dumps({**json.loads(body), **changes}, indent=1, sort_keys=True)
    digest = hashlib.sha256(body.encode()).hexdigest()
    (folder / "manifest.json").write_text(f"{body}\n{digest}\n")


def test_what_is_saved_is_what_is_loaded(checkpoints):
    checkpoints.save(7, STATE, facts=FACTS)

    loaded = checkpoints.load("digest")

    assert loaded.step == 7
    assert torch.equal(loaded.state["model"]["w"], STATE["model"]["w"])
    assert loaded.state["numbers"] == STATE["numbers"]


def test_the_newest_and_the_best_are_kept(checkpoints):
    save(checkpoints, 10, 20, 30, 40, best=10)

    assert checkpoints.steps() == [10, 30, 40]


def test_nothing_there_is_no_error(checkpoints):
    assert checkpoints.load("digest") is None


DAMAGE = {
    "an empty state": lambda folder: (folder / "state.pt").write_bytes(b""),
    "half a state": lambda folder: os.truncate(folder / "state.pt", 1000),
    "no state": lambda folder: (folder / "state.pt").unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "a manifest that is no JSON": lambda folder: (folder / "manifest.json").write_text("{"),
    "an empty folder": lambda folder: [path.unlink() for path in folder.iterdir()],
    "a file in its place": lambda folder: (shutil.rmtree(folder), folder.write_text("x")),
    "a manifest of another make": lambda folder: rewrite_manifest(folder, files={}),
    "another step's manifest": lambda folder: rewrite_manifest(folder, step=60),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(checkpoints, warnings, damage):
    save(checkpoints, 10, 20)
    damage(checkpoints.path(20))

    loaded = checkpoints.load("digest")

    assert loaded.step == 10
    assert len(warnings) == 1
    assert "going back to the checkpoint before it" in warnings[0]


def test_no_flipped_bit_truncation_or_zeroed_page_loads(checkpoints):
    save(checkpoints, 10, 20)
    rng = torch.Generator().manual_seed(0)
    for name in ("state.pt", "manifest.json"):
        file = checkpoints.path(20) / name
        whole = file.read_bytes()
        for attempt in range(120):
            at = int(torch.randint(len(whole), (), generator=rng))
            damaged = bytearray(whole)
            if attempt % 3 == 0:
                damaged[at] ^= 1 << attempt % 8
            elif attempt % 3 == 1:
                del damaged[at:]
            else:
                damaged[at : at + 64] = bytes(x ^ 0xFF for x in damaged[at : at + 64])
            file.write_bytes(damaged)
            assert checkpoints.load("digest").step == 10, (name, attempt, at)
        file.write_bytes(whole)
    assert checkpoints.load("digest").step == 20


def test_all_damaged_is_refused_rather_than_started_over(checkpoints):
    save(checkpoints, 10, 20)
    for step in (10, 20):
        (checkpoints.path(step) / "state.pt").write_bytes(b"")

    with pytest.raises(CheckpointError, match=r"all 2 checkpoints in .* are damaged; delete them"):
        checkpoints.load("digest")


def test_another_configs_checkpoint_is_refused(checkpoints):
    save(checkpoints, 10)

    with pytest.raises(CheckpointError, match=r"is of another config than config\.gin beside it"):
        checkpoints.load("other")


def test_a_newer_format_is_refused_and_not_passed_over(checkpoints):
    save(checkpoints, 10, 20)
    rewrite_manifest(checkpoints.path(20), format=FORMAT + 1)

    with pytest.raises(CheckpointError, match="written by a newer cifarzoo"):
        checkpoints.load("digest")


def test_a_pickle_that_runs_code_is_refused_though_its_digest_is_right(
    checkpoints, warnings, tmp_path
):
    class Malicious:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    save(checkpoints, 10, 20)
    data = pickle.dumps(Malicious())
    (checkpoints.path(20) / "state.pt").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    rewrite_manifest(
        checkpoints.path(20), files={"state.pt": {"size": len(data), "sha256": digest}}
    )

    assert checkpoints.load("digest").step == 10
    assert not (tmp_path / "ran").exists()
    assert "cannot be read" in warnings[0]


def test_a_disk_that_is_full_costs_neither_the_run_nor_older_checkpoints(checkpoints, warnings):
    save(checkpoints, 10)
    with no_file_larger_than(2000):
        saved = checkpoints.save(20, STATE, facts=FACTS)

    assert not saved
    assert "the checkpoint of step 20 was not written: File too large" in warnings[0]
    assert checkpoints.load("digest").step == 10
    assert [path.name for path in checkpoints.path(10).parent.iterdir()] == ["step-00000010"]


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path, warnings):
    (tmp_path / "file").write_text("")
    checkpoints = Checkpoints(tmp_path / "file" / "checkpoints", keep=1, warn=warnings.append)

    assert not checkpoints.save(5, STATE, facts=FACTS)
    assert "the checkpoint of step 5 was not written: Not a directory" in warnings[0]


def test_files_reach_the_disk_before_their_name_and_the_name_before_the_next_step(
    checkpoints, monkeypatch
):
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def spy_fsync(number: int) -> None:
        calls.append(f"fsync {Path(f'/proc/self/fd/{number}').readlink().name}")
        fsync(number)

    def spy_rename(name: str, target: str, **within: int) -> None:
        calls.append(f"rename to {target}")
        rename(name, target, **within)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "rename", spy_rename)
    save(checkpoints, 10)

    assert calls == [
        f"fsync {checkpoints.path(10).parents[1].name}",
        "fsync state.pt",
        "fsync manifest.json",
        f"fsync .tmp-10-{os.getpid()}",
        "rename to step-00000010",
        "fsync checkpoints",
    ]


def test_leftovers_of_a_killed_save_are_ignored_and_swept(checkpoints):
    save(checkpoints, 10)
    parent = checkpoints.path(10).parent
    (parent / ".tmp-20-1").mkdir()
    (parent / ".tmp-20-1" / "state.pt").write_bytes(b"half")
    (parent / "step-notes").mkdir()

    assert checkpoints.load("digest").step == 10
    save(checkpoints, 20)

    names = sorted(path.name for path in parent.iterdir())
    assert names == ["step-00000010", "step-00000020", "step-notes"]


def test_loading_leaves_alone_what_a_live_run_is_writing(checkpoints):
    save(checkpoints, 10)
    being_written = checkpoints.path(10).parent / ".tmp-20-1"
    being_written.mkdir()

    checkpoints.load("digest")

    assert being_written.exists()


def test_tidying_takes_what_a_killed_save_left_and_what_is_kept_no_longer(tmp_path, warnings):
    save(Checkpoints(tmp_path, keep=9, warn=print), 10, 20, 30, 40)
    (tmp_path / ".del-5-1").mkdir()

    Checkpoints(tmp_path, keep=2, warn=warnings.append).tidy(40, best=10)

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["step-00000010", "step-00000030", "step-00000040"]


def test_damaged_later_checkpoints_never_crowd_out_whole_ones(tmp_path, warnings):
    save(Checkpoints(tmp_path, keep=9, warn=print), 10, 20, 30, 40)
    checkpoints = Checkpoints(tmp_path, keep=2, warn=warnings.append)
    for step in (30, 40):
        (checkpoints.path(step) / "state.pt").write_bytes(b"")
    assert checkpoints.load("digest").step == 20

    save(checkpoints, 25)

    assert checkpoints.load("digest").step == 25
    assert checkpoints.steps() == [20, 25, 30, 40]


def test_on_a_full_disk_a_damaged_checkpoint_goes_before_a_whole_one(checkpoints, monkeypatch):
    save(checkpoints, 10, 20)
    damaged, fsync = checkpoints.path(20), os.fsync

    def fsync_if_there_is_room(number: int) -> None:
        if damaged.exists():
            raise OSError(errno.ENOSPC, "no space")
        fsync(number)

    monkeypatch.setattr(os, "fsync", fsync_if_there_is_room)
    save(checkpoints, 15)

    assert checkpoints.steps() == [10, 15]


def test_a_users_files_beside_checkpoints_and_in_them_stay(checkpoints, warnings):
    save(checkpoints, 10, 20)
    parent = checkpoints.path(10).parent
    (checkpoints.path(10) / "notes.txt").write_text("mine")
    for name in (".tmp-mine", ".del-it", "step-5", "step-٣", "step-000000030"):
        (parent / name).mkdir()
        (parent / name / "state.pt").write_text("mine")
    (parent / ".tmp-20-1").mkdir()
    (parent / ".tmp-20-1/notes.txt").write_text("mine")
    before = {path for path in parent.rglob("*") if "20" not in path.parent.name}

    save(checkpoints, 30, 40)

    assert checkpoints.steps() == [10, 30, 40]
    assert before - {checkpoints.path(20)} <= set(parent.rglob("*"))
    assert (parent / ".tmp-20-1/notes.txt").exists()
    assert warnings == []


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("mine"),
        lambda path: (path.mkdir(), (path / "notes.txt").write_text("mine")),
        lambda path: path.symlink_to(path.parent.parent),
    ],
    ids=["file", "folder", "link"],
)
def test_what_has_a_checkpoints_name_and_is_none_gets_another_one(checkpoints, warnings, make):
    save(checkpoints, 10)
    make(checkpoints.path(20))

    save(checkpoints, 20)

    aside = checkpoints.path(20).with_name("step-00000020.1")
    assert checkpoints.load("digest").step == 20
    assert aside.is_symlink() or aside.is_dir() or aside.read_text() == "mine"
    assert warnings == [f"{checkpoints.path(20)} was no checkpoint, and is {aside} now"]
