"""Losses that ranks or micro-batches would change are refused; those that they don't aren't."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cifarzoo.engine.assembly.build import build
from cifarzoo.engine.assembly.describe import describe
from cifarzoo.engine.assembly.loss_trial import check_parts
from cifarzoo.engine.assembly.plan import plan
from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Loss, Regularizer
from cifarzoo.zoo.losses.cross_entropy import cross_entropy
from cifarzoo.zoo.regularizers.loss.label_smoothing import label_smoothing
from tests.tiny import tiny_run, tiny_task

Function = Callable[[Tensor, Tensor], Tensor]


def of_classes(logits: Tensor, targets: Tensor) -> Tensor:
    """torch's class-weighted mean, which divides by the weights of the batch."""
    weights = torch.arange(1.0, targets.shape[1] + 1)
    return F.cross_entropy(logits, targets.argmax(1), weight=weights)


def summed(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="sum")


def hardest(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean over the harder half of a batch."""
    values = F.cross_entropy(logits, targets, reduction="none")
    return values.topk(len(values) // 2).values.mean()


def contrastive(logits: Tensor, _targets: Tensor) -> Tensor:
    """Each image against the others: one number an image, of all of them."""
    return -torch.log_softmax(logits @ logits.T, 1).diagonal()


def correlated(logits: Tensor, targets: Tensor) -> Tensor:
    """The plain mean, and a small penalty on how classes correlate in the batch."""
    return F.cross_entropy(logits, targets) + 1e-3 * torch.cov(logits.T).abs().mean()


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    likely = (targets * logits.log_softmax(1)).sum(1)
    return (-((1 - likely.exp()) ** 2) * likely).mean()


def noisy(logits: Tensor, targets: Tensor) -> Tensor:
    """What is drawn differs between ranks anyway, as documented."""
    return F.cross_entropy(logits + torch.randn_like(logits), targets)


def each(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="none")


def given(function: Function) -> Loss:
    return function


@dataclass(frozen=True)
class Wrapping(Regularizer):
    function: Function

    def loss(self, _loss: Loss) -> Loss:
        return self.function


def check(*, world_size: int, **changes: Any) -> None:
    run = tiny_run(**changes)
    components = build(run, folder=None)
    sizes = plan(run, num_train=128, num_test=60, world_size=world_size)
    check_parts(components, sizes, name=components.loss_maker(run))


@pytest.mark.parametrize("function", [of_classes, summed, hardest, contrastive, correlated])
def test_a_loss_of_the_whole_batch_is_refused_in_parts(function):
    loss = partial(given, function)
    with pytest.raises(
        ConfigError, match=r"given: gives a loss that isn't a mean .* so 2 processes"
    ):
        check(world_size=2, loss=loss)
    in_parts = {"loss": loss, "micro_batch_size": 8, "bn_group_size": 8}
    with pytest.raises(ConfigError, match=r"so micro-batches of 8 would train something else"):
        check(world_size=1, **in_parts)
    check(world_size=1, loss=loss)


@pytest.mark.parametrize("function", [F.cross_entropy, focal, each, noisy])
def test_a_mean_over_images_is_not_refused(function):
    check(world_size=2, loss=partial(given, function))
    check(world_size=2, loss=partial(given, function), regularizers=[label_smoothing])
    check(world_size=2, loss=cross_entropy)


def test_the_numbers_are_those_of_the_batch_and_its_halves():
    numbers = r"of a random batch (\S+) as a whole and (\S+) in halves"
    with pytest.raises(ConfigError, match=numbers) as raised:
        check(world_size=2, loss=partial(given, summed))
    found = re.search(numbers, str(raised.value))
    assert found is not None
    whole, halves = map(float, found.groups())
    assert whole == pytest.approx(2 * halves, rel=1e-3)


def test_the_regularizer_that_made_it_is_named_before_the_first_batch(tmp_path: Path):
    changes = {
        "regularizers": [partial(Wrapping, of_classes)],
        "micro_batch_size": 8,
        "bn_group_size": 8,
    }
    with pytest.raises(ConfigError, match=r"^Wrapping: gives a loss that isn't a mean"):
        execute(tiny_task(tmp_path, **changes))
    with pytest.raises(ConfigError, match=r"^Wrapping: gives a loss that isn't a mean"):
        describe(tiny_run(**changes), data=None)
    assert not (tmp_path / "run").exists()
