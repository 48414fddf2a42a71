"""Random resized crops, as of ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Augmentation, Draws, PositiveFloat, check_settings, in_order
from cifarzoo.zoo.augmentations.operations.boxes import Boxes, draw_sides, placed


def resized(images: Tensor, boxes: Boxes) -> Tensor:
    """Each image's box, stretched to the image's size by linear interpolation.

    Args:
        images: Batch (N, C, H, W), uint8 or float.
        boxes: A box in each image, of at least a pixel.

    Returns:
        A new batch of the same shape and type.
    """
    height, width = images.shape[2:]
    rows, row_shares = _places(boxes.top, boxes.bottom, height)
    columns, column_shares = _places(boxes.left, boxes.right, width)
    pixels = images.permute(0, 2, 3, 1)
    each = torch.arange(len(images), device=images.device)[:, None, None]
    lines = [
        torch.lerp(
            pixels[each, row[:, :, None], columns[0][:, None]].float(),
            pixels[each, row[:, :, None], columns[1][:, None]].float(),
            column_shares[:, None, :, None],
        )
        for row in rows
    ]
    found = torch.lerp(lines[0], lines[1], row_shares[:, :, None, None]).permute(0, 3, 1, 2)
    return (found if images.is_floating_point() else found.round()).to(images.dtype)


def _places(first: Tensor, end: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The two source places of each new one along an axis, int64 (N, size), and the second's share.

    Pixels are squares: the middle of the first new one lies at the middle of its share of the box.
    """
    length = (end - first)[:, None]
    middle = torch.arange(size, device=first.device) + 0.5
    source = (middle * (length / size) - 0.5).clamp(min=0)
    before = source.floor().long().clamp(max=length - 1)
    after = (before + 1).clamp(max=length - 1)
    start = first[:, None]
    return (start + before, start + after), source - before


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop:
    """``resized`` with random boxes; arguments as in ``random_resized_crop``."""

    area: tuple[float, float]
    ratio: tuple[float, float]

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Take a box out of each image of the batch (N, C, H, W)."""
        height, width = images.shape[2:]
        wide, tall = draw_sides(
            draws,
            lambda wide, tall: (tall > 0) & (wide > 0) & (tall <= height) & (wide <= width),
            area=self.area,
            ratio=self.ratio,
            num_pixels=height * width,
        )
        tall = torch.where(tall > 0, tall, float(height))
        wide = torch.where(wide > 0, wide, float(width))
        return resized(images, placed(draws, tall, wide, height=height, width=width))


@register.augmentation
def random_resized_crop(
    *,
    area: Sequence[Annotated[float, Gt(0), Le(1)]] = (0.25, 1.0),
    ratio: Sequence[PositiveFloat] = (0.75, 1.3333333333333333),
) -> Augmentation:
    """Cut a random box out of each image and stretch it to the image's size.

    Going Deeper with Convolutions (Szegedy et al., 2015; arXiv:1409.4842), section 6, as
    torchvision's ``RandomResizedCrop``.

    Args:
        area: Smallest and largest share of the image's area, each above 0 to 1. ImageNet's 0.08
            leaves 9 x 9 of 32 x 32 pixels.
        ratio: Smallest and largest width over height; the logarithm is uniform.

    Raises:
        ConfigError: A number is out of its range, or two are in the wrong order.

    Differs from torchvision's: an image for which ten drawn boxes are too large stays whole.
    """
    check_settings(random_resized_crop, locals())
    return RandomResizedCrop(area=in_order("area", area), ratio=in_order("ratio", ratio))
