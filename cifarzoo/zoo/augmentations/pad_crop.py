"""Random crops of padded images: a random shift, with the border filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import (
    Augmentation,
    Draws,
    Frame,
    NonNegativeInt,
    PadMode,
    PositiveInt,
    Window,
    check_settings,
)


def crop_padded(
    images: Tensor, top: Tensor, left: Tensor, *, padding: int, mode: PadMode
) -> Tensor:
    """Pad every side by ``padding`` and cut out a window of the images' own size.

    One gather picks every pixel from where the padding has it, so that reflected borders are
    never written out: 2 to 3 times as fast as cropping padded images on a CPU, and one kernel
    on a GPU.

    Args:
        images: Batch (N, C, H, W) of any type.
        top: First row of each window in the padded image (N,), 0 to 2 * padding.
        left: First column of each window (N,), 0 to 2 * padding.
        padding: Pixels added to each side; below H and W where they are reflected.
        mode: ``reflect`` (the edge isn't repeated) or ``zero``.

    Returns:
        A new batch of the same shape and type.
    """
    shape = images.shape
    height, width = shape[2:]
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    if mode == "zero":
        images = F.pad(images, (padding, padding, padding, padding))
    else:
        rows = _reflected(rows - padding, height)
        columns = _reflected(columns - padding, width)
    pixels = rows[:, :, None] * images.shape[3] + columns[:, None, :]
    index = pixels.flatten(1)[:, None].expand(-1, shape[1], -1)
    return images.flatten(2).gather(2, index).view(shape)


def _reflected(index: Tensor, size: int) -> Tensor:
    """Positions from 1 - size to 2 * size - 2, mirrored about the first and the last pixel."""
    return size - 1 - (size - 1 - index.abs()).abs()


@dataclass(frozen=True, kw_only=True)
class PadCrop:
    """``crop_padded`` with a window of its own for every sample; arguments as in ``pad_crop``."""

    padding: int
    mode: PadMode
    offsets: int

    @property
    def frame(self) -> Frame:
        """The padding."""
        return Frame(padding=self.padding, mode=self.mode)

    def window(self, draws: Draws) -> Window:
        """A window of its own for every sample, never mirrored."""
        top, left = draws.integers(self.offsets), draws.integers(self.offsets)
        return Window(top, left, torch.zeros_like(top, dtype=torch.bool))

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Shift every image of the batch (N, C, H, W)."""
        size = min(images.shape[2:])
        if self.mode == "reflect" and self.padding >= size:
            raise ConfigError(
                f"is {self.padding}; expected less than the images' {size} pixels to reflect",
                parameter="padding",
            )
        window = self.window(draws)
        return crop_padded(images, window.top, window.left, padding=self.padding, mode=self.mode)


@register.augmentation
def pad_crop(
    *,
    padding: NonNegativeInt = 4,
    mode: Literal["reflect", "zero"] = "reflect",
    offsets: PositiveInt | None = None,
) -> Augmentation:
    """Pad the sides and cut out a random window of the original size.

    The standard augmentation of CIFAR (He et al., 2015; arXiv:1512.03385, section 4.2, with
    zeros; Zagoruyko and Komodakis, 2016; arXiv:1605.07146, with reflection): a translation by up
    to ``padding`` pixels, as other codes call it. Every sample has a window of its own, all
    equally likely.

    Args:
        padding: Pixels added to each side, at least 0; below the images' size to reflect.
        mode: ``reflect`` (the edge pixel isn't repeated) or ``zero``. Zero is black where
            this comes before ``normalize``, the dataset's mean where it comes after.
        offsets: Windows begin in one of the first so many rows, and columns, of the padded
            image; None: in all ``2 * padding + 1``. With a padding of 4 it is 8 in AutoAugment's
            code (Cubuk et al., 2019), where a window never ends in the last row or column.

    Raises:
        ConfigError: ``padding`` is negative, or too large to reflect, there is no such ``mode``,
            or ``offsets`` is out of its range.
    """
    check_settings(pad_crop, locals())
    most = 2 * padding + 1
    if offsets is not None and offsets > most:
        raise ConfigError(f"is {offsets!r}; expected 1 to {most}", parameter="offsets")
    return PadCrop(padding=padding, mode=mode, offsets=most if offsets is None else offsets)
