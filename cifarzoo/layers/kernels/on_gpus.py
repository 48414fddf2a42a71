"""The norms' kernels for GPUs: what ``kernels.cpp`` computes on a CPU, for ``operations``.

Images are (N, C, H, W) in channels_last. Sums are in parts of a size that no device decides: the
same bits on every GPU, and in every call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cifarzoo.layers.dropout import LEVELS, PER_COUNT
from cifarzoo.layers.kernels import triton_norms as kernels
from cifarzoo.layers.kernels.operations import (
    image_like,
    kept,
    laid_out,
    moments_like,
    sums_like,
)

LEAST_ROWS = 512  # of a part of a sum
MOST_PARTS = 256  # of a sum, on as many processors
TILE_ROWS, TILE_CHANNELS = 32, 64
BLOCK = 1024  # numbers of an image that a program computes


@dataclass(frozen=True)
class Shape:
    """How images are divided.

    Attributes:
        groups: Groups of images with statistics of their own.
        images: Images of a group.
        pixels: Pixels of an image.
        channels: Channels of a pixel.
    """

    groups: int
    images: int
    pixels: int
    channels: int

    @classmethod
    def of(cls, images: Tensor, groups: int) -> Shape:
        """The shape of ``images`` (N, C, H, W) in so many groups."""
        num, channels, height, width = images.shape
        return cls(groups, num // groups, height * width, channels)

    @property
    def rows(self) -> int:
        """Numbers of a channel in a group."""
        return self.images * self.pixels

    @property
    def part(self) -> int:
        """Rows of a part of a sum."""
        return max(LEAST_ROWS, math.ceil(self.rows / MOST_PARTS))

    @property
    def parts(self) -> int:
        """Parts of a group's sums."""
        return math.ceil(self.rows / self.part)

    @property
    def tile_channels(self) -> int:
        """Channels that a program adds up side by side."""
        return min(TILE_CHANNELS, 1 << (self.channels - 1).bit_length())

    @property
    def channel_tiles(self) -> int:
        """Programs beside each other for all channels."""
        return math.ceil(self.channels / self.tile_channels)

    @property
    def image_grid(self) -> tuple[int, int]:
        """Programs for all images, and for all numbers of one."""
        return self.groups * self.images, math.ceil(self.pixels * self.channels / BLOCK)


# What operations call ----------------------------------------------------------------------------


def statistics(images: Tensor, groups: int) -> Tensor:
    """Moments float64 (2, groups, C) of ``images``: means and biased variances."""
    images = laid_out(images)
    shape = Shape.of(images, groups)
    moments = moments_like(images, groups)
    parts = images.new_empty(3, groups, shape.parts, shape.channels, dtype=torch.float32)
    tiles = {"TILE_ROWS": TILE_ROWS, "TILE_CHANNELS": shape.tile_channels}
    grid = (groups * shape.parts, shape.channel_tiles)
    kernels.moments_of_parts[grid](images, parts, shape.rows, shape.part, shape.channels, **tiles)
    kernels.moments_of_groups[groups, shape.channel_tiles](
        parts, moments, shape.rows, shape.part, shape.channels, TILE_CHANNELS=shape.tile_channels
    )
    return moments


def apply(
    images: Tensor,
    moments: Tensor,
    weight: Tensor,
    bias: Tensor,
    masks: Tensor | None,
    eps: float,
    activation: int,
    threshold: int,
) -> Tensor:
    """The norm's output, after its activation and dropout; for arguments see ``operations``."""
    images = laid_out(images)
    shape = Shape.of(images, moments.shape[1])
    output = image_like(images)
    kernels.apply[shape.image_grid](
        *(images, output, moments, weight, bias),
        weight if masks is None else masks.to(images.device, non_blocking=True),
        *(shape.groups, shape.images, shape.pixels * shape.channels, shape.channels),
        *(threshold - LEVELS // 2, kept(threshold)),
        EPS=eps,
        ACTIVATION=activation,
        DROPS=masks is not None,
        BLOCK=BLOCK,
        PER_COUNT=PER_COUNT,
    )
    return output


def sums(
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
    """What the gradient of the images needs of each group, and those of weight and bias (C,).

    Of each group and channel, float64 (2, groups, C): the sum of the gradients before the
    activation, and that of their products with the images less their mean.
    """
    gradient, images = laid_out(gradient), laid_out(images)
    shape = Shape.of(images, moments.shape[1])
    parts = images.new_empty(2, shape.groups, shape.parts, shape.channels, dtype=torch.float32)
    made = sums_like(gradient, images, output, moments, weight, bias)
    kernels.sums_of_parts[shape.groups * shape.parts, shape.channel_tiles](
        *(gradient, images, output, moments, weight, bias, parts),
        *(shape.groups, shape.rows, shape.part, shape.channels),
        kept(threshold),
        EPS=eps,
        ACTIVATION=activation,
        DROPS=threshold > 0,
        TILE_ROWS=TILE_ROWS,
        TILE_CHANNELS=shape.tile_channels,
    )
    kernels.sums_of_groups[(shape.channel_tiles,)](
        *(parts, moments, *made, shape.groups, shape.parts, shape.channels),
        EPS=eps,
        TILE_CHANNELS=shape.tile_channels,
    )
    return made


def gradient_of_images(
    gradient: Tensor,
    images: Tensor,
    output: Tensor,
    moments: Tensor,
    weight: Tensor,
    bias: Tensor,
    of_groups: Tensor,
    count: float,
    eps: float,
    activation: int,
    threshold: int,
) -> Tensor:
    """The gradient of the images; ``of_groups`` and its ``count`` are those of all that share."""
    gradient, images = laid_out(gradient), laid_out(images)
    shape = Shape.of(images, moments.shape[1])
    result = image_like(images)
    kernels.gradient[shape.image_grid](
        *(gradient, images, output, result, moments, weight, bias, of_groups),
        *(shape.groups, shape.images, shape.pixels * shape.channels, shape.channels),
        *(kept(threshold), 1 / count),
        EPS=eps,
        ACTIVATION=activation,
        DROPS=threshold > 0,
        BLOCK=BLOCK,
    )
    return result


def move(moments: Tensor, momentum: float, factor: float, mean: Tensor, var: Tensor) -> None:
    """Move running statistics (C,) in place; see ``operations``."""
    _, groups, channels = moments.shape
    grid = (math.ceil(channels / TILE_CHANNELS),)
    of_channels = {"TILE_CHANNELS": TILE_CHANNELS}
    kernels.move[grid](moments, mean, var, groups, channels, momentum, factor, **of_channels)
