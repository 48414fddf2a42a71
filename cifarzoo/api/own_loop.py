"""For a training loop of one's own: random numbers for augmentations, schedules for PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from cifarzoo.components.protocols import Draws, Schedule, Timestamp
from cifarzoo.errors import UsageError
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator


def draws(
    seed: int,
    n: int,
    *,
    step: int = 0,
    epoch: int = 0,
    component: str = "draws",
    images: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> Draws:
    """The random numbers that an augmentation, or a regularizer's batch stage, asks for.

    They are a function of the arguments: the same seed, component, epoch and step give the same
    numbers, in a run too. Without ``step``, every batch is augmented alike::

        augment = cifarzoo.create("pad_crop", padding=4)
        images = augment(images, cifarzoo.draws(0, len(images), step=step))

    Args:
        seed: Seed of the numbers, at least 0.
        n: Images in the batch.
        step: Optimizer steps done before this batch.
        epoch: Epoch of the batch, from 0.
        component: Name of the component that is given them: two of them with one name draw the
            same numbers.
        images: Number of each of the batch's images in its dataset (n,), for components that
            treat an image the same in all epochs, such as ``alternating_flip``; None: they
            are refused.
        device: Device of the images.

    Raises:
        UsageError: ``seed``, ``n``, ``step`` or ``epoch`` is no such number, or ``images``
            aren't ``n``.
    """
    for name, value, least in (("seed", seed, 0), ("n", n, 1), ("step", step, 0)):
        _check_number(name, value, least)
    _check_number("epoch", epoch, 0)
    numbers = np.asarray([] if images is None else images, dtype=np.int64)
    if images is not None and numbers.shape != (n,):
        raise UsageError(f"images has the shape {numbers.shape}; expected one number for each of n")

    def of_images() -> BatchDraws:
        if images is None:
            raise UsageError(
                f"{component} asks for numbers that belong to the images of a dataset; give "
                "draws(…, images=…) the number of each of them"
            )
        rng = generator(seed, component, "images")
        return BatchDraws(rng, int(numbers.max()) + 1, part=numbers, device=device)

    rng = generator(seed, component, epoch, step)
    return BatchDraws(rng, n, device=device, epoch=epoch, of_images=of_images)


def lambda_lr(
    schedule: Schedule, *, steps_per_epoch: int, total_steps: int
) -> Callable[[int], float]:
    """A schedule as the function that PyTorch's ``LambdaLR`` takes, to be stepped every step.

    ::

        factor = cifarzoo.lambda_lr(
            cifarzoo.create("cosine", warmup_epochs=1.0), steps_per_epoch=100, total_steps=2000
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

    ``scheduler.step()`` after each ``optimizer.step()`` gives each step the rate that a run of
    that length has.

    Args:
        schedule: Factor on the base learning rate, such as ``cifarzoo.create`` makes.
        steps_per_epoch: Optimizer steps in an epoch, at least 1.
        total_steps: Optimizer steps in the whole training, at least 1.

    Raises:
        UsageError: ``schedule`` is no function, or a number is below 1.
    """
    if not callable(schedule):
        hint = f"; make one by cifarzoo.create({schedule!r})" if isinstance(schedule, str) else ""
        raise UsageError(f"schedule is {schedule!r}; expected a function of a Timestamp{hint}")
    _check_number("steps_per_epoch", steps_per_epoch, 1)
    _check_number("total_steps", total_steps, 1)

    def factor(step: int) -> float:
        # PyTorch asks for one more after the last step, whose rate no step has.
        at = Timestamp(min(step, total_steps - 1), steps_per_epoch, total_steps)
        return float(schedule(at))

    return factor


def _check_number(name: str, value: int, least: int) -> None:
    # NumPy's whole numbers are fine too.
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UsageError(f"{name} is {value!r}; expected a whole number of at least {least}")
