"""The kernels as operations of torch, with gradients: ``torch.ops.cifarzoo``.

Images are (N, C, H, W), float32 or bfloat16, in channels_last; N is split into groups that have
statistics of their own. ``moments`` are float64 (2, groups, C): means and biased variances. What
is computed and stored is in ``kernels.cpp``, and for GPUs, which take float16 too, in ``on_gpus``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import IntEnum
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor

from cifarzoo.layers.dropout import LEVELS
from cifarzoo.layers.kernels.library import DTYPES, Library


class Activation(IntEnum):
    """What follows a norm."""

    NONE = 0
    RELU = 1
    GELU = 2


_loaded: list[Library] = []
_in_triton: list[ModuleType] = []
GPU_DTYPES = frozenset({*DTYPES, torch.float16})


def use(library: Library) -> None:
    """Have the operations run the kernels of ``library`` on a CPU."""
    _loaded[:] = [library]


def use_triton(device: str = "CUDA") -> None:
    """Have the operations on norms run the kernels in Triton.

    Args:
        device: Dispatch key of torch of the tensors that they are for.

    Raises:
        ImportError: There is no Triton.
    """
    from cifarzoo.layers.kernels import on_gpus  # which takes a second

    if on_gpus in _in_triton:
        return
    for name, kernel in (
        ("norm_statistics", on_gpus.statistics),
        ("norm_apply", on_gpus.apply),
        ("norm_sums", on_gpus.sums),
        ("norm_gradient", on_gpus.gradient_of_images),
    ):
        DEFINITIONS.impl(name, kernel, device, allow_override=True)
    _in_triton[:] = [on_gpus]


def dtypes_of(device: str) -> Collection[torch.dtype]:
    """Which types norms may have on a device, for which there are kernels."""
    if device == "cpu":
        return DTYPES if _loaded else ()
    return GPU_DTYPES if _in_triton and device == "cuda" else ()


def _call(name: str, images: Tensor, *arguments: Tensor | float | None) -> None:
    _loaded[0].call(name, images.dtype, *arguments)


def _shape(images: Tensor, groups: int) -> tuple[int, int, int]:
    """Groups, and rows and channels of each, of ``images``."""
    channels = images.shape[1]
    return groups, images.numel() // (channels * groups), channels


def laid_out(images: Tensor) -> Tensor:
    """``images`` as kernels take them, copied where they lie otherwise."""
    return images.contiguous(memory_format=torch.channels_last)


def kept(threshold: int) -> float:
    """What dropout multiplies by what it keeps."""
    return LEVELS / (LEVELS - threshold)


# On a CPU ---------------------------------------------------------------------------------------


def _statistics(images: Tensor, groups: int) -> Tensor:
    images = laid_out(images)
    moments = moments_like(images, groups)
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
    images = laid_out(images)
    output = torch.empty_like(images)
    num_masked, key0, key1, first = 0, 0, 0, 0
    if masks is not None:
        num_masked, (key0, key1, first) = len(images), masks.tolist()
    _call(
        "apply",
        *(images, images, output, *_shape(images, moments.shape[1])),
        *(moments, weight, bias, eps, activation),
        *(num_masked, key0 % 2**64, key1 % 2**64, first),
        *(threshold - LEVELS // 2, kept(threshold)),
    )
    return output


def move(moments: Tensor, momentum: float, factor: float, mean: Tensor, var: Tensor) -> None:
    """Move running statistics in place; ``factor`` makes a running variance of a biased one."""
    if not _plain(mean):
        _in_triton[0].move(moments, momentum, factor, mean, var)
        return
    shape, pointers = moments.shape[1:], (mean.data_ptr(), var.data_ptr())
    _loaded[0].move(moments.data_ptr(), *shape, momentum, factor, *pointers)


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
    of_norm = (gradient, images, output, moments, weight, bias)
    made = sums_like(*of_norm)
    _backward(of_norm, (eps, activation, threshold), made, None)
    return made


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
    of_norm = (gradient, images, output, moments, weight, bias)
    of_images = image_like(images)
    _backward(of_norm, (eps, activation, threshold), (sums, None, None), of_images, count)
    return of_images


def _backward(
    of_norm: tuple[Tensor, ...],
    settings: tuple[float, int, int],
    made: tuple[Tensor, Tensor | None, Tensor | None],
    of_images: Tensor | None,
    count: float | None = None,
) -> None:
    """Fill ``made``, unless it is given with its ``count``, and ``of_images``, if there is one."""
    gradient, images, output, moments, weight, bias = of_norm
    eps, activation, threshold = settings
    groups, rows, channels = _shape(images, moments.shape[1])
    _call(
        "gradient",
        *(images, laid_out(gradient), laid_out(images), output, groups, rows, channels),
        *(moments, weight, bias, eps, activation, kept(threshold)),
        *(count is not None, rows if count is None else count, *made, of_images),
    )


def _pool(images: Tensor) -> tuple[Tensor, Tensor]:
    images = laid_out(images)
    output, choice = _pool_like(images)
    num, channels, height, width = images.shape
    _call("pool", images, images, output, choice, num, height, width, channels)
    return output, choice


def _unpool(gradient: Tensor, choice: Tensor, height: int, width: int) -> Tensor:
    gradient = laid_out(gradient)
    result = _unpool_like(gradient, choice, height, width)
    num, channels = gradient.shape[:2]
    _call("unpool", gradient, gradient, choice, result, num, height, width, channels)
    return result


# What results are like, for tensors without memory ----------------------------------------------


def moments_like(images: Tensor, groups: int) -> Tensor:
    """Moments of ``images``, not filled."""
    shape = (2, groups, images.shape[1])
    return torch.empty(shape, dtype=torch.float64, device=images.device)


def image_like(images: Tensor, *_others: Any) -> Tensor:
    """Images like ``images``, in channels_last and not filled."""
    return torch.empty_like(images, memory_format=torch.channels_last)


def sums_like(
    _gradient: Tensor,
    _images: Tensor,
    _output: Tensor,
    moments: Tensor,
    weight: Tensor,
    bias: Tensor,
    *_settings: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of the groups, and gradients of scale and shift, not filled."""
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
    """Whether the kernels may be called past torch's dispatcher."""
    return type(images) is Tensor and images.device.type == "cpu" and bool(_loaded)


def statistics(images: Tensor, groups: int) -> Tensor:
    """Moments of ``images``, which are not differentiated: ``norm``'s gradient has that part."""
    if _plain(images):
        return _statistics(images, groups)
    moments: Tensor = torch.ops.cifarzoo.norm_statistics(images.detach(), groups)
    return moments


NOTHING = (None,) * 6  # for what has no gradient


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor,
        moments: Tensor,
        masks: Tensor | None,
        *settings: Any,
    ) -> Tensor:
        eps, activation, threshold, *gather = settings
        apply = _apply if _plain(images) else torch.ops.cifarzoo.norm_apply
        output: Tensor = apply(images, moments, weight, bias, masks, eps, activation, threshold)
        # Behind dropout alone is the output asked for; kept, it may not be changed in place.
        ctx.save_for_backward(images, output if threshold else images, moments, weight, bias)
        ctx.settings = eps, activation, threshold
        ctx.gather = gather[0] if gather else None
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            _no_second("the fused norm")
        images, after, moments, weight, bias = _saved(ctx)
        is_plain, of_norm = _plain(images), (gradient, images, after, moments, weight, bias)
        wants_images = ctx.needs_input_grad[0]
        if is_plain and ctx.gather is None:
            of_images = image_like(images) if wants_images else None
            _, of_weight, of_bias = made = sums_like(*of_norm)
            _backward(of_norm, ctx.settings, made, of_images)
            return of_images, of_weight, of_bias, *NOTHING
        sums, of_weight, of_bias = torch.ops.cifarzoo.norm_sums(*of_norm, *ctx.settings)
        of_images = None
        if wants_images:
            count = 2 * images.numel() / moments.numel()
            if ctx.gather is not None:
                every = ctx.gather(sums)
                sums, count = every.sum(0), count * len(every)
            pass_on = torch.ops.cifarzoo.norm_gradient
            of_images = pass_on(*of_norm, sums, count, *ctx.settings)
        return of_images, of_weight, of_bias, *NOTHING


# What torch.ops.cifarzoo.norm does, past torch's dispatcher, which costs 20 microseconds; and with
# a last argument that no operation can have: how ranks gather the sums that they share.
norm: Callable[..., Tensor] = _Norm.apply


def _saved(ctx: Any) -> tuple[Tensor, ...]:
    try:
        saved: tuple[Tensor, ...] = ctx.saved_tensors
    except RuntimeError as error:  # one of them was changed in place
        *_, threshold = ctx.settings
        if not threshold:
            raise
        raise RuntimeError(
            f"{error}; behind dropout a fused norm needs its output as it was: set "
            "run.kernels = 'torch', or add to a copy"
        ) from error
    return saved


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

_NORM = "Tensor weight, Tensor bias"
_SETTINGS = "float eps, int activation, int threshold"
_BACK = "Tensor gradient, Tensor images, Tensor output, Tensor moments, Tensor weight, Tensor bias"
OPERATIONS: dict[str, tuple[str, Callable[..., Any], Callable[..., Any]]] = {
    "norm_statistics": ("(Tensor images, int groups) -> Tensor", _statistics, moments_like),
    "norm_apply": (
        f"(Tensor images, Tensor moments, {_NORM}, Tensor? masks, {_SETTINGS}) -> Tensor",
        _apply,
        image_like,
    ),
    "norm_sums": (f"({_BACK}, {_SETTINGS}) -> (Tensor, Tensor, Tensor)", _sums, sums_like),
    "norm_gradient": (
        f"({_BACK}, Tensor sums, float count, {_SETTINGS}) -> Tensor",
        _gradient,
        lambda _gradient, images, *_others: image_like(images),
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
DEFINITIONS.define(
    f"norm(Tensor images, {_NORM}, Tensor moments, Tensor? masks, {_SETTINGS}) -> Tensor"
)
DEFINITIONS.define("max_pool(Tensor images) -> Tensor")
for _key in ("Autograd", "CompositeExplicitAutograd"):
    DEFINITIONS.impl("norm", _Norm.apply, _key)
    DEFINITIONS.impl("max_pool", _MaxPool.apply, _key)
