"""Cutout (DeVries and Taylor, 2017; arXiv:1708.04552)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import (
    Augmentation,
    Dataset,
    Draws,
    Per,
    PositiveInt,
    Probability,
    check_settings,
)
from cifarzoo.zoo.augmentations.operations.fill import fill_of, mean_pixel


def fill_squares(
    images: Tensor,
    top: Tensor,
    left: Tensor,
    pixel: Tensor,
    *,
    size: int,
    is_filled: Tensor | None = None,
) -> Tensor:
    """Fill a square in each image; what leaves the image is cut off.

    Only the squares' pixels are written: 4 times as fast on a CPU as a mask over the images.

    Args:
        images: Batch (N, C, H, W).
        top: First row of each square (N,), from 1 - size to H - 1.
        left: First column of each square (N,), from 1 - size to W - 1.
        pixel: What squares are filled with (C,) or (1,), of the images' type.
        size: Side of the squares.
        is_filled: Which images have a square, bool (N,); None: all.

    Returns:
        A new batch of the same shape, channels_last.
    """
    filled = images.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
    count, height, width, channels = filled.shape
    steps = torch.arange(size, device=images.device)
    # What leaves the image moves to its edge, which every square that meets the image covers.
    rows = (top[:, None] + steps).clamp_(0, height - 1)
    columns = (left[:, None] + steps).clamp_(0, width - 1)
    lines = torch.arange(count, device=images.device)[:, None] * height + rows
    squares = (lines[:, :, None] * width + columns[:, None, :]).flatten()
    pixels = filled.view(-1, channels)
    values = pixel.expand(len(squares), channels)
    if is_filled is not None:
        mask = is_filled[:, None].expand(-1, size * size).reshape(-1, 1)
        values = torch.where(mask, values, pixels.index_select(0, squares))
    pixels.index_copy_(0, squares, values)
    return filled.permute(0, 3, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """A square filled in each image.

    Attributes:
        size: Side of the square.
        p: Probability that an image has one.
        pixel: What uint8 images are filled with, a number a channel; None: not known.
        per: Whether every sample or every batch has a square of its own.
        is_inside: Whether squares lie in the image whole.
    """

    size: int
    p: float
    pixel: tuple[int, ...] | None
    per: Per
    is_inside: bool = False

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Fill a square in some images of the batch (N, C, H, W)."""
        height, width = images.shape[2:]
        if self.is_inside:
            if self.size > min(height, width):
                raise ConfigError(
                    f"is {self.size}; expected at most the images' {min(height, width)} pixels, "
                    "since squares lie in them whole",
                    parameter="size",
                )
            top = draws.integers(height - self.size + 1, per=self.per)
            left = draws.integers(width - self.size + 1, per=self.per)
        else:
            top = draws.integers(height, per=self.per) - self.size // 2
            left = draws.integers(width, per=self.per) - self.size // 2
        is_filled = draws.bernoulli(self.p, per=self.per) if self.p < 1 else None
        pixel = fill_of(images, self.pixel, component="cutout")
        return fill_squares(images, top, left, pixel, size=self.size, is_filled=is_filled)


@register.augmentation
def cutout(
    *,
    size: PositiveInt = 16,
    p: Probability = 1.0,
    fill: Literal["mean", "zero"] = "mean",
    per: Literal["sample", "batch"] = "sample",
    inside: bool = False,
    dataset: Dataset | None = None,
) -> Augmentation:
    """Fill a random square of each image with the dataset's mean.

    Cutout (DeVries and Taylor, 2017; arXiv:1708.04552). Its centre is equally likely on every
    pixel; what lies outside the image is cut off, so small squares at the borders are common.

    Args:
        size: Side of the square in pixels, at least 1: the paper's 16 for CIFAR-10 and 8 for
            CIFAR-100.
        p: Probability that an image has one, 0 to 1.
        fill: ``mean``, or ``zero``: 0 as the images have it, which is black where this comes
            before ``normalize`` and the mean where it comes after.
        per: A square for every ``sample``, or one for all of a ``batch``, as in
            google-research/flax_cifar.
        inside: Whether squares lie in the image whole, as in the speed-run for 96 % (Jordan, 2024).
        dataset: Whose mean; passed by the engine.

    Raises:
        ConfigError: A number is out of its range, or there is no such ``fill`` or ``per``.

    Differs from the paper: before ``normalize`` the mean is rounded to whole pixel values,
    which moves it by at most 0.5 / 255; after ``normalize`` it is 0, as the paper has it. A
    square of an odd ``size`` has that size, where the authors' code makes it one smaller.
    """
    check_settings(cutout, locals())
    pixel = (0,) if fill == "zero" else mean_pixel(dataset)
    return Cutout(size=size, p=p, pixel=pixel, per=per, is_inside=inside)
