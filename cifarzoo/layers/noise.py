"""Uniform numbers a channel or a pixel, by the generator of the dropout masks."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from cifarzoo.layers.dropout import LEVELS, Dropout, sixteen_bits

Place = Literal["channel", "pixel"]


class Noise(Dropout):
    """Uniform numbers for each channel, or each pixel of each channel, of a batch.

    On a CPU they are multiples of 2**-16, and the same for any number of ranks, as the masks of
    ``Dropout`` are, whose keys the engine sets; on a GPU torch's generator gives them.
    """

    def __init__(self) -> None:
        super().__init__(p=0.5)

    def numbers(self, x: Tensor, place: Place) -> Tensor:
        """Numbers from 0 to below 1, in x's type.

        Args:
            x: Features (N, C, H, W).
            place: One number a ``channel`` (N, C, 1, 1), or a ``pixel`` (N, C, H, W).
        """
        count, channels, height, width = x.shape
        height, width = (1, 1) if place == "channel" else (height, width)
        if not self.counts_masks(x):
            return torch.rand(count, channels, height, width, device=x.device, dtype=x.dtype)
        bits = sixteen_bits(self.rows_of_pass(), count, channels * height * width)
        # As (H, W, C) whatever the features' layout, so that it changes no number.
        levels = (bits.to(torch.float32) + LEVELS // 2) / LEVELS
        return levels.reshape(count, height, width, channels).permute(0, 3, 1, 2).to(x.dtype)
