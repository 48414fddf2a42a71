"""Cutout (DeVries and Taylor, 2017; arXiv:1708.04552)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Augmentation, Dataset, Draws
from cifarzoo.registry import register


def square_mask(images: Tensor, top: Tensor, left: Tensor, is_cut: Tensor, *, size: int) -> Tensor:
    """Which pixels lie in a square of ``size`` pixels a side, what leaves the image cut off.

    Args:
        images: Batch (N, C, H, W), for its shape and device.
        top: First row of each square (N,); may be negative.
        left: First column of each square (N,); may be negative.
        is_cut: Which images have a square, bool (N,).
        size: Side of the squares.

    Returns:
        Bool (N, 1, H, W).
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - top[:, None]
    columns = torch.arange(width, device=images.device) - left[:, None]
    in_rows = (rows >= 0) & (rows < size) & is_cut[:, None]
    in_columns = (columns >= 0) & (columns < size)
    return in_rows[:, None, :, None] & in_columns[:, None, None, :]


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """A square filled in each image.

    Attributes:
        size: Side of the square.
        p: Probability that an image has one.
        pixel: What uint8 images are filled with, a number a channel; None: not known.
    """

    size: int
    p: float
    pixel: tuple[int, ...] | None

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Fill a square in some images of the batch (N, C, H, W)."""
        height, width = images.shape[2:]
        top = draws.integers(height) - self.size // 2
        left = draws.integers(width) - self.size // 2
        mask = square_mask(images, top, left, draws.bernoulli(self.p), size=self.size)
        if images.is_floating_point():
            return images.masked_fill(mask, 0)
        if self.pixel is None:
            raise ConfigError(
                "is 'mean' of an unknown dataset; put cutout after normalize, or pass dataset",
                parameter="fill",
            )
        pixel = torch.tensor(self.pixel, dtype=images.dtype).to(images.device, non_blocking=True)
        return torch.where(mask, pixel[:, None, None], images)


@register.augmentation
def cutout(
    *,
    size: int = 16,
    p: float = 1.0,
    fill: Literal["mean", "zero"] = "mean",
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
        dataset: Whose mean; passed by the engine.

    Raises:
        ConfigError: A number is out of its range, or there is no such ``fill``.

    Differs from the paper: before ``normalize`` the mean is rounded to whole pixel values,
    which moves it by at most 0.5 / 255; after ``normalize`` it is 0, as the paper has it. A
    square of an odd ``size`` has that size, where the authors' code makes it one smaller.
    """
    if size < 1:
        raise ConfigError(f"is {size!r}; expected at least 1", parameter="size")
    if not 0 <= p <= 1:
        raise ConfigError(f"is {p!r}; expected 0 to 1", parameter="p")
    if fill not in ("mean", "zero"):
        raise ConfigError(f"is {fill!r}; expected 'mean' or 'zero'", parameter="fill")
    pixel = None if dataset is None else tuple(round(255 * mean) for mean in dataset.mean)
    return Cutout(size=size, p=p, pixel=(0,) if fill == "zero" else pixel)
