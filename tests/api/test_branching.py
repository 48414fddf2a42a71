"""Runs that begin where another one stood, and what ``resume`` may change."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import cifarzoo
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.folder import RunFolder
from tests.api.test_training import TINY
from tests.command import invoke, refuse

# Nine steps, three an epoch; every checkpoint is kept.
CONFIG = TINY.replace("epochs = 2", "epochs = 3") + (
    "run.checkpoint_steps = 1\nrun.keep_checkpoints = 99\n"
)
PARENT = Path("runs/parent")


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cifarzoo.api.result.Result:
    """A finished run."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.gin").write_text(CONFIG)
    return train(run_dir=PARENT)


def train(**options: Any) -> cifarzoo.api.result.Result:
    return cifarzoo.train("tiny.gin", **{"progress": False, **options})


def rates(folder: Path | str) -> list[float]:
    return [line["lr"] for line in RunFolder(Path(folder)).metrics()]


def at(step: int) -> Path:
    return PARENT / f"checkpoints/step-{step:08d}"


@pytest.mark.parametrize("step", [3, 4], ids=["between epochs", "within one"])
def test_the_same_training_from_a_checkpoint_is_the_same_to_the_bit(parent, step):
    child = train(from_run=at(step), run_dir="child")

    assert child.weights_sha256 == parent.weights_sha256
    assert rates("child") == rates(PARENT)[1:]


def test_a_finished_run_is_trained_longer_as_a_run_of_its_own_that_names_its_parent():
    events: list[dict[str, Any]] = []
    longer = {"run.epochs": 6}
    before = json.loads((PARENT / "run.json").read_text())

    child = train(set=longer, from_run="parent", progress=events.append, run_dir="child")

    whole = train(set=longer, run_dir="whole")
    assert rates("child") == rates("whole")[3:]  # the new length's schedule, at the old step
    [branched] = [event for event in events if event["event"] == "branched"]
    assert branched["lr_before"] == rates(PARENT)[-1]
    assert branched["lr"] == pytest.approx(0.05 * 0.5)  # half of a cosine is over
    assert (branched["step"], branched["steps"], child.steps) == (9, 18, 18)
    record = json.loads(Path("child/run.json").read_text())
    assert record["parent"]["run"] == str(PARENT.resolve())
    assert (record["parent"]["step"], record["attempts"][0]["from_step"]) == (9, 9)
    assert json.loads((PARENT / "run.json").read_text()) == before
    assert child.weights_sha256 != whole.weights_sha256


def test_a_child_does_not_need_its_parent_again_and_the_same_command_goes_on():
    options = {"set": {"run.epochs": 6}, "from_run": str(PARENT), "run_dir": "child"}
    child = train(**options)
    record = json.loads(Path("child/run.json").read_text())
    Path("child/run.json").write_text(json.dumps({**record, "status": "stopped"}))
    for path in sorted(Path("child/checkpoints").iterdir())[1:]:
        shutil.rmtree(path)

    assert train(**options).weights_sha256 == child.weights_sha256

    Path("child/run.json").write_text(json.dumps({**record, "status": "stopped"}))
    for path in sorted(Path("child/checkpoints").iterdir())[1:]:
        shutil.rmtree(path)
    shutil.rmtree(PARENT)
    assert cifarzoo.resume("child", progress=False).weights_sha256 == child.weights_sha256


def test_two_ranks_begin_from_it_too(parent):
    command = ("run", "tiny.gin", "-n", "2", "--from", at(6), "--run-dir", "child", "--json")

    done = invoke(*command, OMP_NUM_THREADS="1")

    assert done.exit_code == 0, done.stderr
    assert rates("child") == rates(PARENT)[2:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--from", "parent"),
            r"runs/parent is at step 9, and this run has 9 steps in all; set ru",
        ),
        (
            ("--from", "parent", "-s", "sgd.momentum=0.5"),
            r"momentum is 0.9 there and 0.5 here; exp",
        ),
        (("--from", "parent", "-s", "run.batch_size=8"), r"run.batch_size is 16 there and 8 here"),
        (("--from", "nothing"), r"no run 'nothing' in runs; the latest is runs/parent"),
        (
            ("--from", "runs/parent/checkpoints/step-00000077"),
            r"parent has no checkpoint of step 77; it has 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        (
            ("--from", "runs/parent/checkpoints/step-00000003", "--run-dir", "runs/parent"),
            r"runs/parent holds a run that began at its first step; choose another --run-dir",
        ),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused_and_leaves_nothing(arguments, message):
    before = sorted(Path().rglob("*"))

    assert re.search(message, refuse("run", "tiny.gin", *arguments))

    assert sorted(Path().rglob("*")) == before


def test_a_child_has_a_best_of_its_own():
    settings = {"run.validation_images": 16}
    train(set=settings, run_dir="first")

    train(set={**settings, "run.epochs": 6}, from_run="first", run_dir="child")

    assert cifarzoo.load_run("child").best_model is not None  # it lies among the child's own


# resume ----------------------------------------------------------------------------------------


def unfinished() -> None:
    record = json.loads((PARENT / "run.json").read_text())
    (PARENT / "run.json").write_text(json.dumps({**record, "status": "stopped"}))
    for path in sorted((PARENT / "checkpoints").iterdir())[2:]:
        shutil.rmtree(path)


def kept() -> list[int]:
    return sorted(int(path.name.partition("-")[2]) for path in (PARENT / "checkpoints").iterdir())


def test_resume_changes_what_decides_no_number(parent):
    unfinished()

    done = cifarzoo.resume(
        PARENT, set={"run.checkpoint_steps": 4, "run.keep_checkpoints": 2}, progress=False
    )

    assert kept() == [8, 9]
    assert done.weights_sha256 == parent.weights_sha256

    record = json.loads((PARENT / "run.json").read_text())
    (PARENT / "run.json").write_text(json.dumps({**record, "status": "stopped"}))
    shutil.rmtree(PARENT / "checkpoints/step-00000009")
    assert invoke("resume", PARENT, "-s", "run.checkpoint_seconds=5").exit_code == 0
    assert kept() == [8, 9]


def test_resume_changes_nothing_else():
    unfinished()

    assert refuse("resume", PARENT, "-s", "run.epochs=4") == (
        "run.epochs is 4, and the run began with 3; resume changes run.checkpoint_seconds, "
        "run.checkpoint_steps, run.cuda_graph, run.keep_checkpoints, run.kernels alone; another "
        "length or schedule is a run of its own: cifarzoo run runs/parent/config.gin "
        "--from runs/parent -s run.epochs=…\n"
    )
    with pytest.raises(UsageError, match=r"run.regularizers is \[@regularizer.ema\], and the run"):
        cifarzoo.resume(PARENT, set={"run.regularizers": ["@ema"]}, progress=False)
    assert "checkpoint_steps is 0; expected" in refuse(
        "resume", PARENT, "-s", "run.checkpoint_steps=0"
    )
    assert kept() == [1, 2]
