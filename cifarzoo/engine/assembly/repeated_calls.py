"""Whether components are functions of what they are given, as resuming exactly needs.

An augmentation, a regularizer's ``batch`` stage and a loss are asked three times for the same
images, targets and draws. One that gives something else then has kept something from the call
before, and no checkpoint has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from cifarzoo.components.protocols import Augmentation
from cifarzoo.components.regularizers import Regularizer, acting_in
from cifarzoo.engine.assembly.build import Components
from cifarzoo.engine.assembly.trials import copied
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.global_generators import kept_generators, seed_generators
from cifarzoo.randomness.keys import generator

T = TypeVar("T")
NUM_IMAGES, NUM_CALLS = 2, 3


def changing_answers(components: Components, *, loss: str) -> list[str]:
    """A line on each component of a run that gives another answer when it is asked again.

    Args:
        components: What the run's factories made. Copies are asked, where they can be made, and
            no generator is changed.
        loss: Name of the loss, or of the last regularizer that wraps it.
    """
    with kept_generators():
        return [
            f"{name}: a run that is resumed goes another way, since {part} gives something else "
            "for the same images and draws when it is called again; what it keeps is in no "
            "checkpoint: make it a function of its draws and their epoch"
            for name, part, answers in _answers(components, loss)
            if any(not are_same(answers[0], other) for other in answers[1:])
        ]


def _answers(components: Components, loss: str) -> Iterator[tuple[str, str, list[Any]]]:
    """Name and part of each component, and what it answers."""
    numbers = torch.Generator().manual_seed(0)
    num_classes = len(components.dataset.classes)
    shape = (NUM_IMAGES, *components.dataset.image_shape)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=numbers)
    targets = F.one_hot(torch.arange(NUM_IMAGES) % num_classes, num_classes).float()
    for name, augment in components.augmentations.items():
        answers = _asked(augment, partial(_augmented, images))
        yield name, "the augmentation", answers
        images = answers[0]
    targets = targets.repeat(len(images) // NUM_IMAGES, 1)
    for name, regularizer in acting_in("batch", components.regularizers).items():
        batches = _asked(regularizer, partial(_mixed, images, targets))
        yield name, "its batch stage", batches
        images, targets = batches[0]
    logits = torch.randn(targets.shape, generator=numbers)
    losses = _asked(components.loss, lambda own: own(logits.clone(), targets.clone()))
    yield loss, "the loss", losses


def _augmented(images: Tensor, augment: Augmentation) -> Tensor:
    return augment(images.clone(), _draws(len(images)))


def _mixed(images: Tensor, targets: Tensor, regularizer: Regularizer) -> tuple[Tensor, Tensor]:
    return regularizer.batch(images.clone(), targets.clone(), _draws(len(images)))


def _asked(component: T, ask: Callable[[T], Any]) -> list[Any]:
    own, answers = copied(component), []
    for _ in range(NUM_CALLS):
        seed_generators(0, "evaluation", "torch")
        answers.append(ask(own))
    return answers


def _draws(count: int) -> BatchDraws:
    def of_images() -> BatchDraws:
        return BatchDraws(generator(0, "evaluation", "images"), count)

    return BatchDraws(generator(0, "evaluation"), count, of_images=of_images)


def are_same(one: Any, other: Any) -> bool:
    """Whether two answers have the same numbers; one that isn't a number equals another."""
    if isinstance(one, Tensor):
        return torch.equal(one.detach().nan_to_num(), other.detach().nan_to_num())
    return all(map(are_same, one, other))
