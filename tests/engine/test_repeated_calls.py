"""Components that keep something between calls, which no checkpoint has, are told by name."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from cifarzoo.engine.assembly.build import build
from cifarzoo.engine.assembly.repeated_calls import changing_answers
from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Augmentation, Loss, Regularizer, Schedule
from cifarzoo.zoo.augmentations.flip import flip
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.regularizers.batch.mixup import mixup
from cifarzoo.zoo.regularizers.loss.label_smoothing import label_smoothing
from tests.tiny import dimmed, messages, tiny_run, tiny_task


def fading() -> Augmentation:
    """Darker with every call."""
    calls = itertools.count(1)
    return lambda images, _draws: images / next(calls)


@dataclass
class Remembering(Regularizer):
    """Mixes with the batch before, which must be of the same size."""

    last: list[Tensor] = field(default_factory=list)

    def batch(self, images: Tensor, targets: Tensor, _draws: Any) -> tuple[Tensor, Tensor]:
        before = self.last[-1] if self.last else images
        self.last.append(images + 1)
        return (images + before) / 2, targets


@dataclass
class Hardening(Regularizer):
    """Takes logits at a temperature that falls with every call."""

    calls: int = 0

    def loss(self, loss: Loss) -> Loss:
        def hardened(logits: Tensor, targets: Tensor) -> Tensor:
            self.calls += 1
            return loss(logits * self.calls, targets)

        return hardened


def hardening() -> Loss:
    """A loss that counts its calls itself."""
    calls = itertools.count(1)
    return lambda logits, targets: -(targets * logits.log_softmax(1)).sum(1).mean() * next(calls)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"augmentations": [normalize, fading]}, "fading: .* since the augmentation gives"),
        ({"regularizers": [Remembering]}, "Remembering: .* since its batch stage gives"),
        ({"regularizers": [mixup, Hardening]}, "Hardening: .* since the loss gives something else"),
        ({"loss": hardening}, "hardening: a run that is resumed goes another way, since the loss"),
    ],
)
def test_who_keeps_something_between_calls_is_warned_of(tmp_path, changes, warning):
    events: list[Any] = []
    execute(tiny_task(tmp_path, **changes, max_steps=1), [events.append])
    assert any(re.match(warning, message) for message in messages(events)), messages(events)


def test_what_draws_and_what_does_not_is_the_same_again():
    components = build(
        tiny_run(augmentations=[flip, normalize, dimmed], regularizers=[mixup, label_smoothing]),
        folder=None,
    )
    before = torch.get_rng_state()
    assert changing_answers(components, loss="loss") == []
    assert torch.equal(torch.get_rng_state(), before)


def counting() -> Schedule:
    """Falls with every call, whatever the time."""
    calls = itertools.count(1)
    return lambda _timestamp: 1 / next(calls)


def test_a_schedule_that_counts_its_calls_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"gives 1.0 and then 0.0\d+ at step 0; expected a function"
    ):
        execute(tiny_task(tmp_path, schedule=counting))
