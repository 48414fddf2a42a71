"""Boxes in images: drawn ones, and which pixels lie in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cifarzoo.protocols import Draws

ATTEMPTS = 10  # to find a box that fits, as torchvision makes


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """A box in each image, as rows and columns from the first to before the last, each (N,)."""

    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor

    @property
    def area(self) -> Tensor:
        """Pixels of each box (N,)."""
        return (self.bottom - self.top) * (self.right - self.left)


def inside(boxes: Boxes, *, height: int, width: int) -> Tensor:
    """Which pixels lie in their image's box, bool (N, 1, H, W)."""
    rows = torch.arange(height, device=boxes.top.device)
    columns = torch.arange(width, device=boxes.top.device)
    in_rows = (rows >= boxes.top[:, None]) & (rows < boxes.bottom[:, None])
    in_columns = (columns >= boxes.left[:, None]) & (columns < boxes.right[:, None])
    return (in_rows[:, :, None] & in_columns[:, None, :])[:, None]


def draw_sides(
    draws: Draws,
    fits: Callable[[Tensor, Tensor], Tensor],
    *,
    area: tuple[float, float],
    ratio: tuple[float, float],
    num_pixels: int,
) -> tuple[Tensor, Tensor]:
    """The sides of the first of several boxes that fits in its image.

    Args:
        draws: Random numbers.
        fits: Whether sides (N,) fit, bool (N,).
        area: Smallest and largest share of an image's pixels.
        ratio: Smallest and largest first side over the second; its logarithm is uniform.
        num_pixels: Pixels of an image.

    Returns:
        Both sides, whole numbers as float32 (N,); 0 where none fits.
    """
    low, high = (math.log(end) for end in ratio)

    def drawn() -> Tensor:
        pixels = draws.uniform(*area) * num_pixels
        quotient = torch.exp(draws.uniform(low, high))
        return torch.stack([(pixels * quotient).sqrt(), (pixels / quotient).sqrt()]).round()

    sides = drawn()
    is_found = fits(sides[0], sides[1])
    sides = sides * is_found
    for _ in range(ATTEMPTS - 1):
        others = drawn()
        is_fit = fits(others[0], others[1])
        sides = torch.where(is_fit & ~is_found, others, sides)
        is_found = is_found | is_fit
    return sides[0], sides[1]


def placed(draws: Draws, tall: Tensor, wide: Tensor, *, height: int, width: int) -> Boxes:
    """Boxes of these sides, whole numbers as float32 (N,), anywhere in images of H by W pixels."""
    top = (draws.uniform(0.0, 1.0) * (height - tall + 1)).long()
    left = (draws.uniform(0.0, 1.0) * (width - wide + 1)).long()
    return Boxes(top=top, bottom=top + tall.long(), left=left, right=left + wide.long())
