"""Components tried on two images, before they cost memory or time; in words where they fail."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from cifarzoo.components.hooks import SupportsTeacher, num_training_views
from cifarzoo.components.protocols import IMAGE_SHAPE, Augmentation, Loss, Schedule, Timestamp
from cifarzoo.components.regularizers import (
    Regularizer,
)
from cifarzoo.engine.assembly.failures import failed, unfit
from cifarzoo.engine.assembly.forward import Pass, Plain, Wrapped, network_stages
from cifarzoo.engine.assembly.plan import Plan
from cifarzoo.errors import ConfigError
from cifarzoo.layers.norms import disobedient
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.global_generators import kept_generators
from cifarzoo.randomness.keys import generator

T = TypeVar("T")
Shape = tuple[int, int, int]  # of an image: C, H, W


def check_network(
    model: nn.Module, *, num_classes: int, name: str, image_shape: Shape = IMAGE_SHAPE
) -> None:
    """Try a network on two images; neither it nor any generator is changed.

    Args:
        model: On any one device, ``meta`` too.
        num_classes: K.
        name: Name of its architecture.
        image_shape: Shape of an image (C, H, W).

    Raises:
        FailsError: It raises something.
        ConfigError: It doesn't give (2, K).
    """
    two = (2, *image_shape)
    was_training = model.training
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    try:
        with kept_generators(), torch.no_grad():
            logits: Any = model.eval()(torch.zeros(two, device=device))
    except Exception as error:
        raise failed(name, f"on images {two}", error) from error
    finally:
        model.train(was_training)
    shape = tuple(getattr(logits, "shape", ()))
    if shape != (2, num_classes):
        given = shape or type(logits).__name__
        expected = f"expected {(2, num_classes)}, as the dataset has {num_classes} classes"
        raise unfit(name, f"gives {given} for images {two}; {expected}")


def check_augmentations(
    augmentations: Mapping[str, Augmentation], *, image_shape: Shape = IMAGE_SHAPE
) -> None:
    """Try augmentations, one after the other, on two black images.

    Args:
        augmentations: Those of the run, by name.
        image_shape: Shape of an image (C, H, W).

    Raises:
        ConfigError: One raises something, or what the last gives isn't float32 (2, C, H, W).
    """
    two = (2, *image_shape)
    images = torch.zeros(two, dtype=torch.uint8)
    for name, augment in augmentations.items():
        own, count = generator(0, "evaluation"), len(images)
        draws = BatchDraws(own, count, of_images=lambda own=own, n=count: BatchDraws(own, n))  # type: ignore[misc]
        try:
            images = copied(augment)(images, draws)
        except ConfigError as error:
            error.component = error.component or name.partition("#")[0]
            raise
        except Exception as error:
            raise failed(name, f"on images {two}", error) from error
        given = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        wanted = (num_training_views(augment) * count, *image_shape)
        if given != wanted:
            raise unfit(
                name, f"gives {given} for images {(count, *image_shape)}; expected {wanted}"
            )
    if images.dtype != torch.float32:
        raise unfit(name, f"comes last and gives {images.dtype}; expected float32")


def check_regularizers(
    regularizers: Mapping[str, Regularizer],
    loss: Loss,
    *,
    num_classes: int,
    image_shape: Shape = IMAGE_SHAPE,
    weights: Callable[[Tensor], Tensor] | None = None,
    loss_name: str = "loss",
) -> None:
    """Try the ``batch`` stages, and the loss that came of the ``loss`` stages, on two images.

    Each view of an image is a row of the batch.

    Args:
        regularizers: Those of the run, by name.
        loss: Loss of the run, as they wrapped it.
        num_classes: K.
        image_shape: Shape of an image (C, H, W).
        weights: From targets to the weights of images in the loss, if it has any.
        loss_name: Name of the loss, or of the last of them that wraps it.

    Raises:
        ConfigError: One raises something, or gives other shapes than it got.
    """
    two = (2, *image_shape)
    images = torch.zeros(two)
    targets = torch.full((2, num_classes), 1 / num_classes)
    for name, regularizer in regularizers.items():
        own = generator(0, "evaluation")
        count, views = len(images), regularizer.num_views
        draws = BatchDraws(own, count, of_images=lambda own=own, n=count: BatchDraws(own, n))  # type: ignore[misc]
        try:
            given: Any = copied(regularizer).batch(images, targets, draws)
        except Exception as error:
            raise failed(name, f"on images {two}", error) from error
        shapes = tuple((views * count, *each.shape[1:]) for each in (images, targets))
        if not isinstance(given, tuple) or tuple(getattr(t, "shape", ()) for t in given) != shapes:
            times = f", {views} times as many, since its num_views is {views}" if views > 1 else ""
            expected = f"expected images and targets of the shapes that it was given{times}"
            raise unfit(name, f"gives another kind of batch; {expected}")
        images, targets = given
    _check_loss(loss, weights, targets, name=loss_name)


def _check_loss(
    loss: Loss, weights: Callable[[Tensor], Tensor] | None, targets: Tensor, *, name: str
) -> None:
    per_image = (len(targets),)
    try:
        value: Any = loss(torch.zeros_like(targets), targets)
        each: Any = None if weights is None else weights(targets)
    except Exception as error:
        raise failed(name, "on two images, in the loss", error) from error
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    if weights is None and shape not in ((), per_image):
        raise unfit(
            name, f"makes the loss {shape}; expected a tensor of one number, or one an image"
        )
    if weights is not None and shape != per_image:
        expected = "expected one number an image, since the loss has weights"
        raise unfit(name, f"makes the loss {shape}; {expected}")
    if each is not None and tuple(getattr(each, "shape", ("none",))) != per_image:
        given = tuple(getattr(each, "shape", ())) or type(each).__name__
        raise unfit(name, f"gives the weights {given}; expected a tensor of one an image")


def check_network_stages(
    regularizers: Mapping[str, Regularizer],
    model: nn.Module,
    *,
    num_classes: int,
    image_shape: Shape = IMAGE_SHAPE,
    num_views: int = 1,
) -> None:
    """Try the ``network`` stages on two images; neither the network nor a generator is changed.

    One that learns from a teacher, which isn't there yet, is tried in the trial of a step alone.

    Args:
        regularizers: Those of the run, by name.
        model: The network, on any one device; it is tried in evaluation mode.
        num_classes: K.
        image_shape: Shape of an image (C, H, W).
        num_views: Views of each image.

    Raises:
        FailsError: One raises something.
        ConfigError: One refuses the run, or doesn't give logits and targets (2, K), of each view,
            and a penalty ().
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    count = 2 * num_views
    two = (count, *image_shape)
    expected = [(count, num_classes), (count, num_classes), ()]
    targets = torch.full(expected[0], 1 / num_classes, device=device)
    plain = Plain(model, model, Timestamp(0, 1, 2), num_views)
    forward: Pass = plain
    was_training = model.training
    for name, regularizer in network_stages(regularizers).items():
        if isinstance(regularizer, SupportsTeacher):
            continue
        draws = BatchDraws(generator(0, "evaluation"), count, part=np.arange(count), device=device)
        forward = Wrapped(plain, forward, name, regularizer, draws)
        try:
            with kept_generators():
                model.eval()
                given: Any = forward(torch.zeros(two, device=device), targets)
        except ConfigError as error:
            error.component = error.component or name.partition("#")[0]
            raise
        except Exception as error:
            raise failed(name, f"on images {two}, in the network stage", error) from error
        finally:
            model.train(was_training)
        shapes = (
            [tuple(getattr(part, "shape", (-1,))) for part in given]
            if isinstance(given, tuple)
            else []
        )
        if shapes != expected:
            what = ", ".join(map(str, shapes)) or type(given).__name__
            parts = f"logits and targets {expected[0]} and a penalty ()"
            raise unfit(name, f"gives {what} in the network stage; expected {parts}")


def check_schedule(schedule: Schedule, plan: Plan, *, name: str) -> dict[int, float]:
    """Ask a schedule for the first and the last step of a run, and for many between.

    Returns:
        The factors that it gave, by step from 0.

    Raises:
        ConfigError: It fails, doesn't give finite numbers of at least 0, or gives others when
            it is asked again.
    """
    last = plan.total_steps - 1
    steps = [*range(0, last, max(1, last // 500)), last]
    first: dict[int, Any] = {}
    for step in [*steps, 0]:
        try:
            factor: Any = schedule(plan.timestamp(step))
        except Exception as error:
            raise failed(name, f"at a Timestamp of step {step}", error) from error
        if not isinstance(factor, Real) or not 0 <= float(factor) < math.inf:
            expected = "expected a finite number of at least 0"
            raise unfit(name, f"gives {factor!r} at step {step}; {expected}")
        if first.setdefault(step, factor) != factor:
            both = f"gives {first[step]!r} and then {factor!r} at step {step}"
            raise unfit(name, f"{both}; expected a function of the Timestamp, which resuming needs")
    return {step: float(first[step]) for step in steps}


def copied(component: T) -> T:
    """A copy to be tried, which may remember it; or the component itself, where it has none."""
    try:
        return copy.deepcopy(component)
    except Exception:  # it holds a file, say
        return component


def check_norms(model: nn.Module, plan: Plan, *, name: str) -> None:
    """Refuse a norm that would ignore a run's groups, ranks or micro-batches.

    Args:
        model: The network, its norms being ours.
        plan: Sizes of the run.
        name: Name of its architecture.

    Raises:
        ConfigError: There is one; names the module.
    """
    if plan.is_one_group:
        return
    for path, module in disobedient(model):
        raise unfit(
            name,
            f"has {path}, a {type(module).__name__} that takes statistics of the batch by itself, "
            "out of reach of BatchNorm's groups, processes and micro-batches; expected one that "
            "calls the forward of torch's class or F.batch_norm, or a run of one process without "
            "run.micro_batch_size and run.bn_group_size",
        )
