"""Shears, shifts and rotations of image batches, each image by an amount of its own.

Nearest neighbours on black, as torchvision's ``affine`` and ``rotate`` of tensors, with the
same float32 arithmetic: a source that lies halfway between two pixels goes to the same side.
A matrix leads from a pixel (x, y, 1) to its source (x, y), in pixels from the image's middle.
"""

from __future__ import annotations

import torch
from torch import Tensor


def shear_x(shear: Tensor, *, height: int) -> Tensor:
    """Matrices (L, 2, 3) that shift each line left by its number times ``shear`` (L,)."""
    one, zero = torch.ones_like(shear), torch.zeros_like(shear)
    return _matrices(one, shear, shear * (height / 2), zero, one, zero)


def shear_y(shear: Tensor, *, width: int) -> Tensor:
    """Matrices (L, 2, 3) that shift each column up by its number times ``shear`` (L,)."""
    one, zero = torch.ones_like(shear), torch.zeros_like(shear)
    return _matrices(one, zero, zero, shear, one, shear * (width / 2))


def translate(x: Tensor, y: Tensor) -> Tensor:
    """Matrices (L, 2, 3) that shift right by ``x`` and down by ``y`` pixels (L,), cut towards 0."""
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return _matrices(one, zero, -x.trunc(), zero, one, -y.trunc())


def rotate(degrees: Tensor) -> Tensor:
    """Matrices (L, 2, 3) that turn anticlockwise about the middle by ``degrees`` (L,)."""
    angle = torch.deg2rad(torch.remainder(degrees.double(), 360))
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return _matrices(cos, -sin, zero, sin, cos, zero).float()


def sources(matrices: Tensor, *, height: int, width: int) -> Tensor:
    """The number of the source of each pixel of an image.

    Args:
        matrices: One a change, float32 (L, 2, 3).
        height: H.
        width: W.

    Returns:
        Int64 (L, H * W), row by row; H * W where the source lies outside.
    """
    columns = _nearest(matrices[:, 0], height, width, size=width)
    rows = _nearest(matrices[:, 1], height, width, size=height)
    is_inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    numbers = (rows * width + columns).to(torch.int64)
    return torch.where(is_inside, numbers, height * width).flatten(1)


def take(images: Tensor, numbers: Tensor) -> Tensor:
    """Put each image together from pixels of its own.

    Args:
        images: Batch (N, C, H, W) of any type.
        numbers: Which pixel of the image comes where, as ``sources`` gives them (N, H * W).

    Returns:
        A new batch of the same shape, channels_last; 0 where the number is H * W.
    """
    count, channels, height, width = images.shape
    pixels = images.permute(0, 2, 3, 1).reshape(count, -1, channels)
    # Black is a pixel of its own behind each image, so that one gather does it all.
    pixels = torch.cat([pixels, pixels.new_zeros(count, 1, channels)], 1)
    starts = torch.arange(count, device=images.device)[:, None] * pixels.shape[1]
    taken = pixels.flatten(0, 1).index_select(0, (numbers + starts).flatten())
    return taken.view(count, height, width, channels).permute(0, 3, 1, 2)


def _nearest(line: Tensor, height: int, width: int, *, size: int) -> Tensor:
    """The nearest whole source coordinate of each pixel along an axis of ``size`` pixels.

    Args:
        line: The matrices' line for this axis (L, 3).
        height: H.
        width: W.
        size: H or W.

    Returns:
        Float32 (L, H, W), from 0 to size - 1 where the source is inside.
    """
    x = torch.linspace((1 - width) / 2, (width - 1) / 2, width, device=line.device)
    y = torch.linspace((1 - height) / 2, (height - 1) / 2, height, device=line.device)
    along_x, along_y, shift = (line / (size / 2))[:, :, None, None].unbind(1)
    # To -1 ... 1 and back as torchvision does: the way of rounding decides what is halfway.
    source = along_x * x + along_y * y[:, None] + shift
    return (((source + 1) * size - 1) / 2).round()


def _matrices(*entries: Tensor) -> Tensor:
    """(L, 2, 3) of six columns (L,)."""
    return torch.stack(entries, 1).view(-1, 2, 3)
