"""Events and their JSON; listeners can change nothing, not even by failing to write."""

from __future__ import annotations

import errno

import pytest

from cifarzoo.engine.events import (
    CheckpointEvent,
    EpochEvent,
    FinishedEvent,
    ResultEvent,
    ResumedEvent,
    Score,
    Speed,
    WarningEvent,
    emit_to_all,
    to_json,
)

EPOCH = EpochEvent(
    epoch=1,
    epochs=2,
    step=8,
    train_loss=2.5,
    test=Score(2.0, 0.75),
    lr=0.1,
    speed=Speed(images_per_second=300.0, seconds=0.5),
)
RESULT = ResultEvent(
    run="runs/a",
    test=Score(2.0, 0.75),
    tta_test=Score(1.9, 0.5),
    train_loss=2.5,
    train_seconds=1.5,
    steps=16,
    weights_sha256="ab",
)


def test_a_listener_that_cannot_write_is_warned_of_once_and_asked_again():
    received, asked = [], []

    def full(event):
        asked.append(event)
        raise OSError(errno.ENOSPC, "No space left on device")

    emit = emit_to_all([full, received.append])
    for event in (EPOCH, RESULT):
        emit(event)

    warning = WarningEvent(message="progress is lost: No space left on device")
    assert received == [warning, EPOCH, RESULT]
    assert asked == [EPOCH, warning, RESULT]


def test_a_listener_with_a_bug_keeps_its_traceback():
    def broken(event):
        raise KeyError(event.kind)

    with pytest.raises(KeyError, match="finished"):
        emit_to_all([broken])(FinishedEvent(run="runs/a"))


def test_scores_are_written_by_split_and_what_is_absent_is_left_out():
    assert list(to_json(EPOCH).items()) == [
        ("event", "epoch"),
        ("epoch", 1),
        ("epochs", 2),
        ("step", 8),
        ("train_loss", 2.5),
        ("test_loss", 2.0),
        ("test_error", 0.75),
        ("lr", 0.1),
        ("images_per_second", 300.0),
        ("seconds", 0.5),
    ]
    assert list(to_json(RESULT)) == [
        "event",
        "run",
        "test_loss",
        "test_error",
        "tta_test_loss",
        "tta_test_error",
        "train_loss",
        "train_seconds",
        "steps",
        "weights_sha256",
    ]


def test_a_restart_is_written_where_there_was_one():
    resumed = {"run": "runs/a", "step": 5, "steps": 16, "epoch": 0.625}

    assert to_json(ResumedEvent(**resumed)) == {"event": "resumed", **resumed}
    assert to_json(ResumedEvent(**resumed, restart=1, max_restarts=3)) == {
        "event": "resumed",
        **resumed,
        "restart": 1,
        "max_restarts": 3,
    }


def test_a_result_is_read_back_from_what_was_written_of_it():
    assert ResultEvent.from_record("runs/a", to_json(RESULT)) == RESULT
    with pytest.raises(KeyError, match="test_error"):
        ResultEvent.from_record("runs/a", to_json(CheckpointEvent(step=1, seconds=0.1)))
