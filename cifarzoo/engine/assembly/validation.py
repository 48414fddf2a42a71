"""What components must give the engine, checked when they are made; in words where they don't."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from cifarzoo.components.hooks import Windowed, acts_at_evaluation, num_training_views
from cifarzoo.components.kinds import KINDS
from cifarzoo.components.protocols import IMAGE_SHAPE, Dataset
from cifarzoo.components.regularizers import STAGES, Average, Regularizer, acting_stages
from cifarzoo.errors import ConfigError

GIB = 2**30
BYTES = 8  # of a parameter in training, at least: float32, and its gradient
CONTROL_GROUPS = (  # where Linux says how much memory a container may use
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def check_kind(kind: str, value: Any) -> None:
    """Refuse what a factory of ``kind`` gave, if it isn't one.

    Raises:
        ConfigError: It isn't.
    """
    if not KINDS[kind].is_one(value):
        shown = repr(value) if len(repr(value)) <= 40 else f"{repr(value)[:37]}..."
        raise ConfigError(
            f"gives {shown} ({type(value).__name__}); expected {KINDS[kind].expected}"
        )
    if isinstance(value, Dataset):
        _check_dataset(value)
    if isinstance(value, Regularizer):
        _check_regularizer(value)
    if isinstance(value, nn.Module):
        _check_parameters(value)
    if kind == "augmentation":
        _check_views(value)


def _check_dataset(dataset: Dataset) -> None:
    if not dataset.classes:
        raise ConfigError("has no classes; expected their names")
    shape: Any = dataset.image_shape
    is_shape = isinstance(shape, list | tuple) and [type(size) for size in shape] == [int] * 3
    if not is_shape or min(shape) < 1:
        raise ConfigError(
            f"has images of the shape {shape!r}; expected channels, height and width, such as "
            f"{IMAGE_SHAPE}"
        )


def _check_regularizer(regularizer: Regularizer) -> None:
    stages = acting_stages(regularizer)
    if not stages:
        raise ConfigError(f"acts in no stage; expected one of {', '.join(STAGES)}")
    views = _whole(regularizer.num_views)
    if views > 1 and "batch" not in stages:
        raise ConfigError(f"has num_views {views} and no batch stage, which would make the views")


def _check_views(augmentation: Any) -> None:
    views = _whole(num_training_views(augmentation))
    if views > 1 and (acts_at_evaluation(augmentation) or isinstance(augmentation, Windowed)):
        raise ConfigError(
            f"has num_views {views}, and is a window or applied to test images, which have one view"
        )


def _whole(views: Any) -> int:
    """A number of views.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(views, int) or isinstance(views, bool) or views < 1:
        raise ConfigError(f"has num_views {views!r}; expected a whole number of at least 1")
    return views


def check_average(value: Any) -> None:
    """Refuse what an ``average`` stage gave, if it can't be kept up and saved.

    Raises:
        ConfigError: It can't.
    """
    if not isinstance(value, Average):
        given = type(value).__name__
        raise ConfigError(f"averages by {given}; expected a cifarzoo.protocols.Average or None")


def _check_parameters(model: nn.Module) -> None:
    parameters = list(model.parameters())
    if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        raise ConfigError("has parameters that wait for a first batch; give its layers their sizes")
    if not any(parameter.requires_grad for parameter in parameters):
        raise ConfigError("has no parameter that could be trained")
    others = {p.dtype for p in parameters if p.is_floating_point()} - {torch.float32}
    if others:
        given = ", ".join(sorted(map(str, others)))
        raise ConfigError(f"has parameters of {given}; expected torch.float32, see run.precision")


def check_memory(num_parameters: int, device: torch.device) -> None:
    """Refuse a network that the machine can't hold.

    Raises:
        ConfigError: Its weights and gradients alone need more than all of the memory.
    """
    needed, there = num_parameters * BYTES, memory_of(device)
    if there is not None and needed > there:
        raise ConfigError(
            f"has {num_parameters:,} parameters, of which weights and gradients alone need "
            f"{needed / GIB:,.1f} GiB; this machine has {there / GIB:,.1f} GiB",
            parameter="architecture",
        )


def memory_of(device: torch.device) -> int | None:
    """Bytes of memory that a process may use on ``device`` at most; None: not known."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, OSError, ValueError):
        return None
    texts = (path.read_text().strip() for path in CONTROL_GROUPS if path.is_file())
    return min([*limits, *(int(text) for text in texts if text.isdecimal())])


def check_scaling(optimizer: Any, *, is_scaled: bool) -> None:
    """Refuse an optimizer that computes the gradient itself where losses are scaled.

    Raises:
        ConfigError: Its ``step`` can't do without a closure, and float16 calls it without.
    """
    takes = inspect.signature(optimizer.step).parameters.get("closure")
    if is_scaled and takes is not None and takes.default is inspect.Parameter.empty:
        raise ConfigError(
            f"is 'float16', whose scaled losses {type(optimizer).__name__} can't use, since it "
            "computes gradients more than once a step; expected 'bfloat16' or 'float32'",
            parameter="precision",
        )
