"""A run's data are part of what it is: others are refused, and a test on others says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cifarzoo.data.store import digest
from cifarzoo.engine.events import WarningEvent
from cifarzoo.engine.runner import Task, execute
from cifarzoo.engine.trained import evaluate_run
from cifarzoo.errors import UsageError
from cifarzoo.zoo.datasets.glyphs import glyphs
from tests.trust.damage import rewrite_manifest

MakeTask = Callable[..., Task]


def drawn(seed: int) -> partial[object]:
    """A dataset of the tiny run's size, drawn from ``seed``."""
    return partial(glyphs, train_images=128, test_images=60, seed=seed)


def sha256_of(seed: int) -> str:
    return digest(*drawn(seed)(None).load())


def interrupted(task: Task) -> None:
    """Train ``task``, and leave its folder as a kill would have."""
    execute(task)
    task.open_folder().update(status="running")


def test_the_data_of_a_checkpoint_are_in_its_manifest(task: MakeTask):
    run = task(max_steps=2, dataset=drawn(0))
    execute(run)

    [manifest] = run.open_folder().checkpoints.glob("*/manifest.json")
    body, _, _ = manifest.read_text().strip().rpartition("\n")
    assert json.loads(body)["data"] == sha256_of(0)


def test_going_on_with_other_data_is_refused_and_changes_nothing(task: MakeTask):
    interrupted(task(max_steps=2, dataset=drawn(0)))
    other = task(max_steps=2, dataset=drawn(1))
    before = other.open_folder().record

    with pytest.raises(UsageError) as refused:
        execute(other)

    there, here = sha256_of(0)[:12], sha256_of(1)[:12]
    assert re.search(
        rf"run was trained on other data: SHA-256 {there}… there and {here}… of glyphs.* here; "
        "bring back what it began with, or begin a run of its own in another folder$",
        str(refused.value),
    )  # fmt: skip
    after = other.open_folder().record
    assert {name: after[name] for name in before if name != "attempts"} == {
        name: before[name] for name in before if name != "attempts"
    }
    assert after["attempts"][:-1] == before["attempts"]
    assert after["attempts"][-1]["status"] == "refused"
    assert after["attempts"][-1]["error"] == str(refused.value)


def test_an_attempt_that_saved_nothing_has_its_data_too(task: MakeTask):
    run = task(max_steps=2, dataset=drawn(0))
    interrupted(run)
    for checkpoint in run.open_folder().checkpoints.iterdir():
        for file in checkpoint.iterdir():
            file.unlink()
        checkpoint.rmdir()

    with pytest.raises(UsageError, match="was trained on other data"):
        execute(task(max_steps=2, dataset=drawn(1)))
    execute(run)


def test_a_checkpoint_that_does_not_say_leaves_it_to_the_record(task: MakeTask):
    run = task(max_steps=2, dataset=drawn(0))
    interrupted(run)
    [checkpoint] = run.open_folder().checkpoints.iterdir()
    rewrite_manifest(checkpoint, data=None)

    with pytest.raises(UsageError, match="was trained on other data"):
        execute(task(max_steps=2, dataset=drawn(1)))


@pytest.mark.parametrize(("seed", "is_same"), [(0, True), (1, False)])
def test_a_test_on_other_data_says_so_and_is_recorded_as_such(
    task: MakeTask, seed: int, is_same: bool
):
    execute(task(max_steps=2, dataset=drawn(0)))
    run = task(max_steps=2, dataset=drawn(seed))
    messages: list[str] = []

    def listener(event: object) -> None:
        if isinstance(event, WarningEvent):
            messages.append(event.message)

    event = evaluate_run(run.run, run.open_folder(), data=Path(), emit=listener)

    assert (event.data_sha256, event.is_data_of_training) == (sha256_of(seed), is_same)
    assert ["was trained with other data" in message for message in messages] == [True] * (
        not is_same
    )
