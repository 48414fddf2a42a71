"""What a result is of: which test images, and which epoch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cifarzoo.engine.events import Event, ResultEvent, StartEvent
from cifarzoo.engine.runner import execute
from cifarzoo.protocols import Dataset, Schedule, Split, Timestamp
from cifarzoo.zoo.optimizers.sgd import sgd

NUM_TEST = 10_000
# Images that were tested, by their numbers, which their pixels tell.
tested: list[int] = []


class Noting(nn.Module):
    """Notes the images that it is tested on, and is wrong about every hundredth."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        number = ((x[:, 0, 0, 0] * 256 + x[:, 1, 0, 0]) * 255).round().long()
        if not self.training:
            tested.extend(number.tolist())
        return nn.functional.one_hot((number % 100 == 0).long(), 2) * self.scale


def noting(num_classes: int) -> nn.Module:
    return Noting()


def numbered(folder: Path | None) -> Dataset:
    """Images that say their number; all are of the first class."""

    def split(count: int) -> Split:
        number = np.arange(count)
        pixels = np.stack([number // 256, number % 256, number * 0], 1).astype(np.uint8)
        images = np.ascontiguousarray(np.broadcast_to(pixels[:, :, None, None], (count, 3, 32, 32)))
        return Split(images=images, labels=np.zeros(count, np.int64))

    return Dataset(
        title="numbers",
        classes=("a", "b"),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        load=lambda: (split(16), split(NUM_TEST)),
    )


def seen(task: Any, name: str, **changes: Any) -> tuple[set[int], ResultEvent]:
    """The test images of a run of one step, each of which is tested once, and its result."""

    def begin(event: Event) -> None:
        if isinstance(event, StartEvent):
            tested.clear()  # what was tried before

    changes |= {"architecture": noting, "dataset": numbered, "augmentations": [], "epochs": 1}
    result = execute(task(name, **changes), [begin])
    assert len(tested) == len(set(tested))
    return set(tested), result


def test_9984_images_are_tested_the_same_for_every_seed_and_the_error_is_of_them(task):
    images, result = seen(task, "one", eval_images=9984)
    again, _ = seen(task, "other", eval_images=9984, seed=1)

    assert len(images) == 9984
    assert images == again
    assert result.test.error == sum(number % 100 == 0 for number in images) / 9984


def test_all_images_are_tested_once_unless_a_run_says_otherwise(task):
    images, result = seen(task, "all")

    assert images == set(range(NUM_TEST))
    assert result.test.error == 0.01


def test_the_result_is_the_last_epochs_though_an_earlier_one_was_better(task):
    worse = task("run", schedule=far_too_high, optimizer=partial(sgd, lr=0.05), epochs=3)

    result = execute(worse)

    lines = worse.open_folder().metrics()
    assert lines[0]["test_loss"] < lines[-1]["test_loss"] == result.test.loss
    assert worse.open_folder().record["test_error"] == lines[-1]["test_error"]


def far_too_high() -> Schedule:
    def factor(moment: Timestamp) -> float:
        return 1.0 if moment.epoch < 1 else 100.0

    return factor
