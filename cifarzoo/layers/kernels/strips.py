"""Narrow 3x3 convolutions over images laid side by side in strips, in plain torch.

oneDNN's kernels for AMX fill a tile with a row of outputs, 32 of them for gradients of weights and
16 for passes, so that rows of 3 to 8 leave most of it idle. In a strip several images share their
rows, with as many columns of zeros between them as a window reaches over an edge: the same sums,
in another order. Weights get their gradient so, and very narrow images are passed through so too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.layers.kernels.readable import is_readable

NARROW = 8  # outputs a row up to which weights get their gradient in strips
VERY_NARROW = 4  # and up to which passes are in strips too
LEAST_CHANNELS = 32  # with fewer, the copies cost what the arithmetic gains
LEAST = 2**26  # multiplications; with fewer, a call costs the 0.2 ms more that strips may gain
LENGTH = 160  # outputs a row of a strip, at most
TILE = 32
KERNEL = 3
STRIDES = (1, 2)
EAGER_DTYPES = (torch.bfloat16, torch.float32)  # what autocast turns into bfloat16

_convolution_backward: Any = torch.ops.aten.convolution_backward


def are_quick() -> bool:
    """Whether this processor is quicker with strips in bfloat16: one that has AMX."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def convert(model: nn.Module, *, quick: bool, least: int = 0) -> nn.Module:
    """Let the convolutions of ``model`` take narrow images in strips, in place.

    Nothing but classes changes: names, parameters and hooks stay as they are.

    Args:
        model: Network to be trained.
        quick: Whether strips are quicker here, see ``are_quick``; else nothing is changed.
        least: Number of multiplications from which on a convolution takes strips.
    """
    for module in model.modules() if quick else ():
        if isinstance(module, nn.Conv2d) and _is_plain(module):
            if type(module) is nn.Conv2d:
                module.__class__ = Conv2d
            if isinstance(module, Conv2d):
                vars(module).update(takes_strips=True, least=least)
    return model


def count(model: nn.Module) -> dict[str, int]:
    """How many convolutions of a converted ``model`` take strips, by what they are."""
    return {"strips": sum(isinstance(m, Conv2d) and m.takes_strips for m in model.modules())}


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` that in training takes narrow images in strips, once it was converted.

    Attributes:
        takes_strips: Whether it does.
        least: Number of multiplications from which on it does.
    """

    takes_strips = False
    least = 0

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Images (N, C, H, W) to (N, out_channels, H', W')."""
        if not self.takes_strips:
            return super().forward(input)
        return self.convolve(input, (int(self.padding[0]), int(self.padding[1])))

    def convolve(self, images: Tensor, padding: tuple[int, int]) -> Tensor:
        """The convolution with another padding than the module's.

        Args:
            images: Images (N, C, H, W).
            padding: Rows of zeros above and below, and columns on either side.

        Returns:
            Outputs (N, out_channels, H', W').
        """
        weight, bias, stride = self.weight, self.bias, self.stride[0]
        if (
            self.takes_strips
            and self.training
            and _are_narrow(images, weight, stride, padding)
            and images.numel() // stride**2 * len(weight) * KERNEL**2 >= self.least
        ):
            if _is_halved():
                images, weight = images.to(torch.bfloat16), weight.to(torch.bfloat16)
                bias = None if bias is None else bias.to(torch.bfloat16)
            if images.dtype is weight.dtype is torch.bfloat16:
                return convolve(images, weight, bias, stride=stride, padding=padding)
        return F.conv2d(images, weight, bias, self.stride, padding)


def convolve(
    images: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: tuple[int, int]
) -> Tensor:
    """A 3x3 convolution of narrow images, whose weights get their gradient in strips.

    Args:
        images: Images (N, C, H, W) of which strips can be made, see ``strip_of``.
        weight: Weights (out_channels, C, 3, 3), of the images' type.
        bias: Bias (out_channels,) of the images' type, or None.
        stride: Pixels between outputs, 1 or 2.
        padding: Rows of zeros above and below, and columns on either side, 0 or 1.

    Returns:
        Outputs (N, out_channels, H', W'), in channels_last.
    """
    outputs: Tensor = _Convolution.apply(images, weight, bias, ([stride, stride], [*padding]))
    return outputs


def _is_plain(module: nn.Conv2d) -> bool:
    return (
        module.kernel_size == (KERNEL, KERNEL)
        and module.stride[0] == module.stride[1]
        and module.stride[0] in STRIDES
        and not isinstance(module.padding, str)
        and max(module.padding) <= 1
        and module.padding_mode == "zeros"
        and module.dilation == (1, 1)
        and module.groups == 1
        and min(module.in_channels, module.out_channels) >= LEAST_CHANNELS
    )


def _are_narrow(
    images: Any, weight: Tensor, stride: int, padding: tuple[int, int]
) -> TypeGuard[Tensor]:
    """Whether strips gain anything: not for weights that stay."""
    if not is_readable(images) or images.dtype not in EAGER_DTYPES:
        return False
    if images.shape[2] + 2 * padding[0] < KERNEL:
        return False
    strip = strip_of(len(images), images.shape[3], stride, padding[1])
    return strip is not None and (strip.outputs <= VERY_NARROW or weight.requires_grad)


def _is_halved() -> bool:
    """Whether autocast computes convolutions in bfloat16."""
    is_on = torch.is_autocast_enabled("cpu")
    return is_on and torch.get_autocast_dtype("cpu") is torch.bfloat16


@dataclass(frozen=True, kw_only=True)
class Strip:
    """How images lie in a strip.

    Attributes:
        images: Number of images in it.
        width: Columns of an image.
        slot: Columns from one image to the next.
        tail: Columns of zeros behind the last slot, so that each slot has its outputs.
        outputs: Columns of the outputs of an image.
        output_slot: Columns from one image's outputs to the next's.
    """

    images: int
    width: int
    slot: int
    tail: int
    outputs: int
    output_slot: int


@cache
def strip_of(num: int, width: int, stride: int, padding: int) -> Strip | None:
    """The strips that ``num`` images make; None: there are none, or the images aren't narrow.

    Args:
        num: Number of images.
        width: Columns of an image.
        stride: Columns between outputs.
        padding: Columns of zeros on either side of an image.
    """
    outputs = (width + 2 * padding - KERNEL) // stride + 1
    output_slot = -(-(width + padding) // stride)
    counts = [k for k in range(2, LENGTH // output_slot + 1) if num % k == 0]
    if not 0 < outputs <= NARROW or not counts:
        return None

    def waste(count: int) -> tuple[float, int]:
        filled = count * output_slot
        return -(-filled // TILE) * TILE / filled, -count

    return Strip(
        images=min(counts, key=waste),
        width=width,
        slot=output_slot * stride,
        tail=max(0, KERNEL - stride - 2 * padding),
        outputs=outputs,
        output_slot=output_slot,
    )


def _lay(images: Tensor, count: int, slot: int, tail: int = 0) -> Tensor:
    """Images (N, C, H, W) side by side: (N / count, C, H, count * slot + tail)."""
    num, channels, height, width = images.shape
    rows = images.new_empty(num // count, height, count * slot + tail, channels)
    slots = torch.unflatten(rows[:, :, : count * slot], 2, (count, slot))
    grouped = torch.unflatten(images.permute(0, 2, 3, 1), 0, (-1, count))
    slots[:, :, :, :width] = grouped.transpose(1, 2)
    slots[:, :, :, width:] = 0
    rows[:, :, count * slot :] = 0
    return rows.permute(0, 3, 1, 2)


def _lift(strips: Tensor, count: int, slot: int, width: int) -> Tensor:
    """The images of which ``_lay`` made strips, without what lies between them."""
    num, channels, height = strips.shape[:3]
    size = (num * count, channels, height, width)
    # A view would not do: autograd forbids to change one in place.
    images = torch.empty(
        size, dtype=strips.dtype, device=strips.device, memory_format=torch.channels_last
    )
    grouped = torch.unflatten(images.permute(0, 2, 3, 1), 0, (-1, count))
    slots = torch.unflatten(strips.permute(0, 2, 3, 1)[:, :, : count * slot], 2, (count, slot))
    grouped.copy_(slots[:, :, :, :width].transpose(1, 2))
    return images


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: tuple[list[int], list[int]],
    ) -> Tensor:
        stride, padding = geometry
        strip = strip_of(len(images), images.shape[3], stride[1], padding[1])
        if strip is None:
            raise ValueError(f"images {tuple(images.shape)} make no strips")
        ctx.save_for_backward(images, weight)
        ctx.settings = strip, geometry
        if strip.outputs > VERY_NARROW:
            return F.conv2d(images, weight, bias, *geometry)
        strips = _lay(images, strip.images, strip.slot, strip.tail)
        outputs = F.conv2d(strips, weight, bias, *geometry)
        return _lift(outputs, strip.images, strip.output_slot, strip.outputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        images, weight = ctx.saved_tensors
        strip, geometry = ctx.settings
        wants_images, *wanted = ctx.needs_input_grad[:3]
        is_passed = strip.outputs <= VERY_NARROW
        of_images, *others = _gradients(
            _lay(gradient, strip.images, strip.output_slot),
            _lay(images, strip.images, strip.slot, strip.tail),
            weight,
            geometry,
            [wants_images and is_passed, *wanted],
        )
        if of_images is not None:
            of_images = _lift(of_images, strip.images, strip.slot, strip.width)
        elif wants_images:
            of_images = _gradients(gradient, images, weight, geometry, [True, False, False])[0]
        return (of_images, *others, None)

    @staticmethod
    def jvp(_ctx: Any, *_tangents: Any) -> NoReturn:
        raise RuntimeError(
            "convolutions in strips have no forward derivative; set run.kernels = 'torch' for one"
        )


def _gradients(
    gradient: Tensor,
    images: Tensor,
    weight: Tensor,
    geometry: tuple[list[int], list[int]],
    wanted: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of images, weights and bias, those that are wanted."""
    found: tuple[Tensor | None, Tensor | None, Tensor | None] = _convolution_backward(
        *(gradient, images, weight, [len(weight)], *geometry),
        *([1, 1], False, [0, 0], 1, wanted),
    )
    return found
