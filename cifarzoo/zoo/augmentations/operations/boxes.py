"""Boxes in images: which pixels lie in them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
