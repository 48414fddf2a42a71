"""The kernels as operations of torch, with gradients: ``torch.ops.cifarzoo``.

Images are (N, C, H, W), float32 or bfloat16, in channels_last; N is split into groups that have
statistics of their own. ``moments`` are float64 (2, groups, C): means and biased variances. What
is computed and stored is in ``kernels.cpp``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from typing import Any, NoReturn

import torch
from torch import Tensor

from cifarzoo.layers.kernels.library import Library

CHUNK = 2**15  # numbers that are read twice: they have to lie in a core's cache
JOBS = 32  # at least, to keep eight cores busy
WIDTH = 128  # of kernels.cpp: least length of an inner loop
LEVELS = 2**16  # of a drop probability, as in cifarzoo.layers.dropout


class Activation(IntEnum):
    """What follows a norm."""

    NONE = 0
    RELU = 1
    GELU = 2


@cache
def chunk_rows(groups: int, rows: int, channels: int) -> int:
    """Rows that are added up at a time: a function of the shape, so sums are one too."""
    repeat = max(1, WIDTH // channels)
    chosen = min(CHUNK // channels, math.ceil(groups * rows / JOBS))
    return max(1, math.ceil(chosen / repeat)) * repeat


_loaded: list[Library] = []


def use(library: Library) -> None:
    """Have the operations run the kernels of ``library``."""
    _loaded[:] = [library]


def _call(name: str, images: Tensor, *arguments: Tensor | float) -> None:
    _loaded[0].call(name, images.dtype, *arguments)


def _shape(images: Tensor, groups: int) -> tuple[int, int, int, int]:
    """Groups, rows and channels of ``images``, and rows of a chunk."""
    channels = images.shape[1]
    rows = images.numel() // (channels * groups)
    return groups, rows, channels, chunk_rows(groups, rows, channels)


def _laid_out(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _kept(threshold: int) -> float:
    """What dropout multiplies by what it keeps."""
    return LEVELS / (LEVELS - threshold)


# On a CPU ---------------------------------------------------------------------------------------


def _statistics(images: Tensor, groups: int) -> Tensor:
    images = _laid_out(images)
    moments = _moments_like(images, groups)
    _call("statistics", images, images, *_shape(images, groups), moments)
    return moments


def _apply(
    images: Tensor,
    moments: Tensor,
    weight: Tensor,
    bias: Tensor,
    masks: Tensor | None,
    eps: float,
    activation: int,
    threshold: int,
) -> Tensor:
    images = _laid_out(images)
    output = torch.empty_like(images)
    num_masked, key0, key1, first = 0, 0, 0, 0
    if masks is not None:
        num_masked, (key0, key1, first) = len(images), masks.tolist()
    _call(
        "apply",
        *(images, images, output, *_shape(images, moments.shape[1])),
        *(moments, weight, bias, eps, activation),
        *(num_masked, key0 % 2**64, key1 % 2**64, first),
        *(threshold - LEVELS // 2, _kept(threshold)),
    )
    return output


def _norm(
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    masks: Tensor | None,
    eps: float,
    activation: int,
    groups: int,
    threshold: int,
) -> tuple[Tensor, Tensor]:
    moments = _statistics(images, groups)
    return _apply(images, moments, weight, bias, masks, eps, activation, threshold), moments


def _sums(
    gradient: Tensor,
    images: Tensor,
    output: Tensor,
    moments: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    activation: int,
    threshold: int,
) -> tuple[Tensor, Tensor, Tensor]:
    sums, of_weight, of_bias = _sums_like(gradient, images, output, moments, weight, bias)
    _call(
        "gradient_sums",
        *(images, _laid_out(gradient), _laid_out(images), output),
        *_shape(images, moments.shape[1]),
        *(moments, weight, bias, eps, activation, _kept(threshold), sums, of_weight, of_bias),
    )
    return sums, of_weight, of_bias


def _gradient(
    gradient: Tensor,
    images: Tensor,
    output: Tensor,
    moments: Tensor,
    weight: Tensor,
    bias: Tensor,
    sums: Tensor,
    count: float,
    eps: float,
    activation: int,
    threshold: int,
) -> Tensor:
    images = _laid_out(images)
    result = torch.empty_like(images)
    _call(
        "gradient_apply",
        *(images, _laid_out(gradient), images, output, result),
        *_shape(images, moments.shape[1]),
        *(moments, weight, bias, eps, activation, _kept(threshold), sums, count),
    )
    return result


def _pool(images: Tensor) -> tuple[Tensor, Tensor]:
    images = _laid_out(images)
    output, choice = _pool_like(images)
    num, channels, height, width = images.shape
    _call("pool", images, images, output, choice, num, height, width, channels)
    return output, choice


def _unpool(gradient: Tensor, choice: Tensor, height: int, width: int) -> Tensor:
    gradient = _laid_out(gradient)
    result = _unpool_like(gradient, choice, height, width)
    num, channels = gradient.shape[:2]
    _call("unpool", gradient, gradient, choice, result, num, height, width, channels)
    return result


# What results are like, for tensors without memory ----------------------------------------------


def _moments_like(images: Tensor, groups: int) -> Tensor:
    shape = (2, groups, images.shape[1])
    return torch.empty(shape, dtype=torch.float64, device=images.device)


def _image_like(images: Tensor, *_others: Any) -> Tensor:
    return torch.empty_like(images, memory_format=torch.channels_last)


def _sums_like(
    _gradient: Tensor,
    _images: Tensor,
    _output: Tensor,
    moments: Tensor,
    weight: Tensor,
    bias: Tensor,
    *_settings: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(moments), torch.empty_like(weight), torch.empty_like(bias)


def _pool_like(images: Tensor) -> tuple[Tensor, Tensor]:
    num, channels, height, width = images.shape
    output = images.new_empty(num, height // 2, width // 2, channels).permute(0, 3, 1, 2)
    return output, torch.empty_like(output, dtype=torch.uint8)


def _unpool_like(gradient: Tensor, _choice: Tensor, height: int, width: int) -> Tensor:
    num, channels = gradient.shape[:2]
    return gradient.new_empty(num, height, width, channels).permute(0, 3, 1, 2)


# With gradients ---------------------------------------------------------------------------------


def _no_second(what: str) -> NoReturn:
    raise RuntimeError(f"{what} has no second derivative; set run.kernels = 'torch' to have one")


def _plain(images: Tensor) -> bool:
    """Whether the kernels may be called past torch's dispatcher, which costs 20 microseconds."""
    return type(images) is Tensor and images.device.type == "cpu"


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, masks: Tensor | None, *settings: Any
    ) -> tuple[Tensor, Tensor]:
        norm = _norm if _plain(images) else torch.ops.cifarzoo.norm_forward
        output, moments = norm(images, weight, bias, masks, *settings)
        eps, activation, _groups, threshold = settings
        # ReLU's sign alone is asked for; kept for others it would forbid to change it in place.
        after = output if activation == Activation.RELU else images
        ctx.save_for_backward(images, after, moments, weight, bias)
        ctx.settings = eps, activation, threshold
        ctx.mark_non_differentiable(moments)
        return output, moments

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _of_moments: Any) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            _no_second("the fused norm")
        images, after, moments, weight, bias = ctx.saved_tensors
        is_plain, of_norm = _plain(images), (gradient, images, after, moments, weight, bias)
        sum_up = _sums if is_plain else torch.ops.cifarzoo.norm_sums
        sums, of_weight, of_bias = sum_up(*of_norm, *ctx.settings)
        of_images = None
        if ctx.needs_input_grad[0]:
            pass_on = _gradient if is_plain else torch.ops.cifarzoo.norm_gradient
            count = 2 * images.numel() / moments.numel()
            of_images = pass_on(*of_norm, sums, count, *ctx.settings)
        return of_images, of_weight, of_bias, None, None, None, None, None


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        pool = _pool if _plain(images) else torch.ops.cifarzoo.max_pool_forward
        output, choice = pool(images)
        ctx.save_for_backward(choice)
        ctx.size = images.shape[2:]
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            _no_second("the fused pooling")
        unpool = _unpool if _plain(gradient) else torch.ops.cifarzoo.max_unpool
        unpooled: Tensor = unpool(gradient, ctx.saved_tensors[0], *ctx.size)
        return unpooled


# Registration -----------------------------------------------------------------------------------

_NORM = "Tensor weight, Tensor bias, Tensor? masks, float eps, int activation"
_BACK = "Tensor gradient, Tensor images, Tensor output, Tensor moments, Tensor weight, Tensor bias"
_LAST = "float eps, int activation, int threshold"
OPERATIONS: dict[str, tuple[str, Callable[..., Any], Callable[..., Any]]] = {
    "norm_statistics": ("(Tensor images, int groups) -> Tensor", _statistics, _moments_like),
    "norm_apply": (
        f"(Tensor images, Tensor moments, {_NORM}, int threshold) -> Tensor",
        _apply,
        _image_like,
    ),
    "norm_forward": (
        f"(Tensor images, {_NORM}, int groups, int threshold) -> (Tensor, Tensor)",
        _norm,
        lambda images, *others: (_image_like(images), _moments_like(images, others[-2])),
    ),
    "norm_sums": (f"({_BACK}, {_LAST}) -> (Tensor, Tensor, Tensor)", _sums, _sums_like),
    "norm_gradient": (
        f"({_BACK}, Tensor sums, float count, {_LAST}) -> Tensor",
        _gradient,
        lambda _gradient, images, *_others: _image_like(images),
    ),
    "max_pool_forward": ("(Tensor images) -> (Tensor, Tensor)", _pool, _pool_like),
    "max_unpool": (
        "(Tensor gradient, Tensor choice, int height, int width) -> Tensor",
        _unpool,
        _unpool_like,
    ),
}
DEFINITIONS: Any = torch.library.Library("cifarzoo", "DEF")  # type: ignore[no-untyped-call]  # torch's
for _name, (_schema, _on_cpu, _fake) in OPERATIONS.items():
    DEFINITIONS.define(f"{_name}{_schema}")
    DEFINITIONS.impl(_name, _on_cpu, "CPU")
    torch.library.register_fake(f"cifarzoo::{_name}", _fake, lib=DEFINITIONS)
DEFINITIONS.define(f"norm(Tensor images, {_NORM}, int groups, int threshold) -> (Tensor, Tensor)")
DEFINITIONS.define("max_pool(Tensor images) -> Tensor")
for _key in ("Autograd", "CompositeExplicitAutograd"):
    DEFINITIONS.impl("norm", _Norm.apply, _key)
    DEFINITIONS.impl("max_pool", _MaxPool.apply, _key)
