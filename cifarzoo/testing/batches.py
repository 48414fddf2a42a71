"""What acts on batches, or gives them: augmentations, losses, datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Never

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cifarzoo.components.hooks import (
    SupportsViews,
    Windowed,
    acts_at_evaluation,
    num_training_views,
)
from cifarzoo.components.protocols import Augmentation, Split
from cifarzoo.data.store import ImageStore
from cifarzoo.engine.assembly.build import make
from cifarzoo.engine.assembly.dataset import read_dataset
from cifarzoo.engine.assembly.failures import failed, unfit
from cifarzoo.engine.assembly.repeated_calls import changing_answers
from cifarzoo.engine.batches import image_by_image
from cifarzoo.errors import ConfigError
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.global_generators import seed_generators
from cifarzoo.randomness.keys import generator
from cifarzoo.testing.subject import Subject

NUM_IMAGES = 16
EPOCH, STEP = 1, 9
WHOLE = slice(None)


def check_repeat(subject: Subject, _folder: Path) -> None:
    """Ask for the same three times.

    Raises:
        ConfigError: It gives something else.
    """
    components = subject.components()
    for line in changing_answers(components, loss=components.loss_maker(subject.run)):
        raise unfit(subject.name, line.removeprefix(f"{subject.name}: "))


def check_pixels(subject: Subject, _folder: Path) -> None:
    """Augment random images as a run does, by what stands before it too.

    Raises:
        ConfigError: It gives another shape or type, or offers views or windows that aren't its.
    """
    augment, images = _reached(subject)
    given: Any = _called(subject, augment, images)
    shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
    wanted = (num_training_views(augment) * len(images), *images.shape[1:])
    if shape != wanted:
        expected = (
            "their shape" if wanted == tuple(images.shape) else f"{wanted}, all views of them"
        )
        raise unfit(
            subject.name, f"gives {shape} for images {tuple(images.shape)}; expected {expected}"
        )
    dtype = torch.float32 if acts_at_evaluation(augment) else images.dtype
    if given.dtype != dtype:
        raise unfit(
            subject.name,
            f"gives {given.dtype} for images of {images.dtype}; expected {dtype}: round, clamp "
            "and give .to(images.dtype)",
        )
    _check_drawn_at_evaluation(subject, augment, images)
    if isinstance(augment, SupportsViews):
        weights = [weight for weight, _ in augment.views(images.float())]
        if abs(sum(weights) - 1) > 1e-6:
            raise unfit(subject.name, f"has views whose weights are {weights}; expected a sum of 1")
    if isinstance(augment, Windowed) and not torch.equal(_cut(subject, augment, images), given):
        raise unfit(subject.name, "gives other pixels than those of its window of the same draws")


def check_share(subject: Subject, _folder: Path) -> None:
    """Augment a batch whole and in two halves, as one process and two do.

    Raises:
        ConfigError: An image isn't the same.
    """
    augment, images = _reached(subject)
    half = len(images) // 2
    whole, *halves = [
        image_by_image(_called(subject, augment, images, rows), num_training_views(augment), WHOLE)
        for rows in (WHOLE, slice(0, half), slice(half, None))
    ]
    differing = (torch.cat(halves) != whole).flatten(1).any(1).nonzero().flatten().tolist()
    if differing:
        raise unfit(
            subject.name,
            f"gives other pixels where two processes have half of the batch each (images "
            f"{differing}); take what is random from draws, a number an image, and look at no "
            "other image",
        )


def _reached(subject: Subject) -> tuple[Augmentation, Tensor]:
    """The augmentation, and random images as it gets them in the run."""
    components = subject.components()
    shape = (NUM_IMAGES, *components.dataset.image_shape)
    numbers = torch.Generator().manual_seed(0)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=numbers)
    for name, augment in components.augmentations.items():
        if name == subject.name:
            return augment, images
        images = _called(subject, augment, images)
    raise unfit(subject.name, "is not among the run's augmentations; set keeps it there")


def _called(subject: Subject, augment: Augmentation, images: Tensor, rows: slice = WHOLE) -> Tensor:
    seed_generators(0, "torch", f"{rows.start}")  # as each rank has numbers of its own
    try:
        return augment(images[rows].clone(), _draws(subject, rows, len(images)))
    except ConfigError:
        raise
    except Exception as error:
        when = f"on images {tuple(images.shape)} of {images.dtype}"
        raise failed(subject.name, when, error) from error


def _draws(subject: Subject, rows: slice, count: int) -> BatchDraws:
    """The numbers of some rows of a batch of ``count``."""
    numbers = np.arange(count)[rows] % NUM_IMAGES + 100  # of the images in their dataset

    def of_images() -> BatchDraws:
        return BatchDraws(generator(0, subject.name, "images"), 200, part=numbers)

    rng = generator(0, subject.name, EPOCH, STEP)
    return BatchDraws(rng, count, part=rows, epoch=EPOCH, of_images=of_images)


class _NoDraws:
    """Draws for test images, of which there are none."""

    def __getattr__(self, name: str) -> Never:
        raise ValueError(f"draws.{name} is asked for, and test images are not drawn for")


def _check_drawn_at_evaluation(subject: Subject, augment: Augmentation, images: Tensor) -> None:
    if not acts_at_evaluation(augment):
        return
    try:
        augment(images.clone(), _NoDraws())
    except Exception as error:
        raise failed(subject.name, "on test images", error) from error


def _cut(subject: Subject, augment: Windowed, images: Tensor) -> Tensor:
    """The window that an augmentation says, cut out of each framed image."""
    split = Split(images=images.numpy(), labels=np.zeros(len(images), np.int64))
    store = ImageStore(split, num_classes=1, device="cpu", frame=augment.frame)
    seed_generators(0, "torch", f"{WHOLE.start}")
    window = augment.window(_draws(subject, WHOLE, len(images)))
    return store.batch(np.arange(len(images)), window)[0]


def check_loss(subject: Subject, _folder: Path) -> None:
    """Compute it, and its gradient, for sure and unsure logits and hard and soft targets.

    Raises:
        ConfigError: It gives something else than one number or one an image, or what isn't finite.
    """
    components = subject.components()
    num_classes = len(components.dataset.classes)
    numbers = torch.Generator().manual_seed(0)
    hard = F.one_hot(torch.arange(NUM_IMAGES) % num_classes, num_classes).float()
    for scale in (0.0, 1.0, 30.0):
        for targets in (hard, 0.7 * hard + 0.3 / num_classes):
            logits = scale * torch.randn(targets.shape, generator=numbers)
            _check_finite_loss(subject, components.loss, logits.requires_grad_(), targets)
    if components.loss_weights is not None:
        weights = components.loss_weights(hard)
        if weights.shape != (NUM_IMAGES,) or not bool((weights >= 0).all()):
            raise unfit(
                subject.name, f"gives the weights {weights.tolist()}; expected one an image, from 0"
            )


def _check_finite_loss(subject: Subject, loss: Any, logits: Tensor, targets: Tensor) -> None:
    value = loss(logits, targets)
    if not isinstance(value, Tensor) or value.shape not in ((), (len(targets),)):
        shape = tuple(getattr(value, "shape", ())) or type(value).__name__
        raise unfit(
            subject.name, f"gives {shape} for logits {tuple(logits.shape)}; expected () or (N,)"
        )
    if not value.requires_grad:
        raise unfit(subject.name, "gives a loss without a gradient; expected one of the logits")
    value.mean().backward()  # type: ignore[no-untyped-call]  # torch's
    for what, numbers in (("a loss", value), ("a gradient", logits.grad)):
        if numbers is None or not bool(torch.isfinite(numbers).all()):
            largest = logits.abs().max().item()
            raise unfit(
                subject.name,
                f"gives {what} that is not finite, for logits up to {largest:.3g}; work with "
                "log_softmax rather than with the logarithm of softmax",
            )


def check_splits(subject: Subject, _folder: Path) -> None:
    """Read it twice.

    Raises:
        CifarzooError: Images, labels or numbers aren't what it says, or differ the second time.
    """
    dataset = make(subject.run.dataset, "dataset", folder=subject.data)
    channels = dataset.image_shape[0]
    for name, values in (("mean", dataset.mean), ("std", dataset.std)):
        if len(values) != channels or not all(0 <= value <= 1 for value in values):
            raise unfit(
                subject.name,
                f"has the {name} {tuple(values)}; expected one a channel ({channels}), of pixels "
                "scaled to 0 to 1",
            )
    if min(dataset.std) <= 0:
        raise unfit(subject.name, f"has the std {tuple(dataset.std)}; expected above 0")
    again = make(subject.run.dataset, "dataset", folder=subject.data)
    for one, other in zip(read_dataset(dataset), read_dataset(again), strict=True):
        is_same = np.array_equal(one.images, other.images)
        if not (is_same and np.array_equal(one.labels, other.labels)):
            raise unfit(
                subject.name,
                "gives other images when it is read again, and so on each process; expected "
                "numbers from a seed of its own, such as np.random.default_rng(seed)",
            )
