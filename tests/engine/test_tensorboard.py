"""TensorBoard's files hold what the run's metrics do."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from cifarzoo.engine.events import StepEvent
from cifarzoo.engine.runner import execute


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    """Every scalar of a folder by tag and step: length, checksum, event, checksum, and again."""
    found = {}
    for file in folder.iterdir():
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
    return found


def test_events_are_the_lines_of_metrics_and_some_of_the_steps(task):
    events = []
    run = task("run")

    execute(run, [events.append])

    folder = run.open_folder()
    found = scalars(folder.path / "tensorboard")
    for line in folder.metrics():
        assert found["error/test", line["step"]] == pytest.approx(line["test_error"])
        assert found["loss/train", line["step"]] == pytest.approx(line["train_loss"])
    steps = {e.step: e.step_loss for e in events if isinstance(e, StepEvent)}
    in_file = {step: value for (tag, step), value in found.items() if tag == "loss/step"}
    assert in_file == pytest.approx(steps)
