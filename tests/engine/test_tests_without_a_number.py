"""Networks that are finite in training and give NaN when they are tested."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor, nn

import cifarzoo
from cifarzoo.engine.runner import execute
from cifarzoo.errors import NotFiniteError
from cifarzoo.run_folders.strict_json import strict_json
from tests.tiny import messages, tiny_task

STEPS_PER_EPOCH = 8


class Blinking(nn.Module):
    """Gives NaN in a test between two numbers of training passes."""

    def __init__(self, num_classes: int, first: int, last: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, num_classes))
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))
        self.first, self.last = first, last

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.passes += 1
        elif self.first <= self.passes <= self.last:
            return self.net(x) * torch.nan
        return self.net(x)


def blind_at_first(num_classes: int) -> nn.Module:
    """NaN after the first of two epochs."""
    return Blinking(num_classes, 4, STEPS_PER_EPOCH)


def blind_at_last(num_classes: int) -> nn.Module:
    """NaN after both."""
    return Blinking(num_classes, 4, 100)


def strictly(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def files_of(folder) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    for manifest in folder.checkpoints.glob("*/manifest.json"):
        strictly(manifest.read_text().rpartition("\n}\n")[0] + "\n}")
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    return strictly((folder.path / "run.json").read_text()), [strictly(line) for line in lines]


def test_in_mid_run_it_is_a_warning_and_null(tmp_path):
    events: list[Any] = []
    task = tiny_task(tmp_path, architecture=blind_at_first, validation_images=16, batch_size=14)
    result = execute(task, [events.append])

    (warning,) = (message for message in messages(events) if "not finite" in message)
    assert warning.startswith("the loss on test images is not finite after epoch 1, though")
    record, lines = files_of(task.open_folder())
    assert [line["test_loss"] is None for line in lines] == [True, False]
    assert [line["validation_loss"] is None for line in lines] == [True, False]
    assert record["status"] == "done"
    assert record["test_loss"] == result.test.loss
    # What gives no number is never the best.
    state = torch.load(max(task.open_folder().checkpoints.iterdir()) / "state.pt")
    assert state["numbers"]["best_step"] == 2 * STEPS_PER_EPOCH


def test_at_the_last_epoch_the_run_has_diverged_and_stays_so(tmp_path):
    task = tiny_task(tmp_path, architecture=blind_at_last)
    for _ in range(2):  # resumed, it has no more steps to do, and no result either
        with pytest.raises(
            NotFiniteError, match="the loss on test images is not finite after the last epoch, thou"
        ) as raised:
            execute(task)
        assert raised.value.exit_code == 4

        record, lines = files_of(task.open_folder())
        assert record["status"] == "diverged"
        assert "test_error" not in record
        assert [line["test_loss"] for line in lines] == [None, None]
        assert list(task.open_folder().checkpoints.glob("*/state.pt"))


def test_numbers_that_are_not_finite_are_null_at_any_depth():
    values = {"a": [1.5, float("nan"), {"b": (float("inf"), -float("inf"))}], "c": "NaN", "d": 3}
    expected = {"a": [1.5, None, {"b": [None, None]}], "c": "NaN", "d": 3}
    assert strictly(strict_json(values)) == expected


def test_all_of_the_package_writes_json_strictly():
    found = [
        f"{path.name}:{node.lineno}"
        for path in Path(cifarzoo.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("dump", "dumps")
        and isinstance(node.value, ast.Name)
        and node.value.id == "json"
        # The second one's text is read at once and never written.
        and path.name not in {"strict_json.py", "state_schema.py"}
    ]
    assert not found
