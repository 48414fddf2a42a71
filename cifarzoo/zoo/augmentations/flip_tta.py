"""Test-time augmentation by mirror images and shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F
from annotated_types import Ge, Gt, Le
from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Augmentation, Draws, check_settings


@dataclass(frozen=True, kw_only=True)
class FlipTta:
    """Leaves training images alone; offers views of test images. See ``flip_tta``."""

    translate: int
    views_below: float | None = None

    def __call__(self, images: Tensor, _draws: Draws) -> Tensor:
        """The batch as it is."""
        return images

    def views(self, images: Tensor) -> Sequence[tuple[float, Tensor]]:
        """Weights, which sum to 1, and views of the batch (N, C, H, W), of the same shape."""
        if self.translate == 0:
            return mirrored(1.0, images)
        height, width = images.shape[2:]
        padded = F.pad(images, [self.translate] * 4, mode="reflect")
        last = 2 * self.translate
        return [
            *mirrored(0.5, images),
            *mirrored(0.25, padded[:, :, :height, :width]),
            *mirrored(0.25, padded[:, :, last:, last:]),
        ]


def mirrored(weight: float, images: Tensor) -> list[tuple[float, Tensor]]:
    """The batch and its mirror image, which share ``weight`` evenly."""
    return [(weight / 2, images), (weight / 2, images.flip(3))]


@register.augmentation
def flip_tta(
    *,
    translate: Annotated[int, Ge(0), Le(8)] = 1,
    below: Annotated[float, Gt(0), Le(1)] | None = None,
) -> Augmentation:
    """Test images at the end of the run in two or six views too: mirrored, and shifted.

    94% on CIFAR-10 in 3.29 Seconds on a Single GPU (Jordan, 2024; arXiv:2404.00498), section
    3.5: half of the weight has the image with its mirror image; the other half has shifts up
    and to the left, and down and to the right, with theirs. Logits are averaged; the result is
    reported as ``tta_test_error`` besides the plain one. Training images are left alone.

    Args:
        translate: Pixels of the shifts, the border reflected; 0: mirrored only.
        below: Only images have views whose most probable class leads the next by less than this
            probability; None: all. The later speed-runs see few images more than once.

    Raises:
        ConfigError: ``translate`` or ``below`` is out of range.
    """
    check_settings(flip_tta, locals())
    return FlipTta(translate=translate, views_below=below)
