"""Random horizontal flips."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Augmentation, Draws, Frame, Probability, Window, check_settings

MIRRORED = Frame(is_mirrored=True)


def flip_where(images: Tensor, is_flipped: Tensor) -> Tensor:
    """Mirror the marked images left to right.

    Args:
        images: Batch (N, C, H, W).
        is_flipped: Which of them, bool (N,).

    Returns:
        A new batch.
    """
    return torch.where(is_flipped[:, None, None, None], images.flip(3), images)


def mirrored_where(is_flipped: Tensor) -> Window:
    """``flip_where`` as a window: the whole image, mirrored where marked (N,)."""
    start = torch.zeros_like(is_flipped, dtype=torch.int64)
    return Window(start, start, is_flipped)


@dataclass(frozen=True)
class Flip:
    """``flip_where``, each image with probability ``p``."""

    p: float
    frame: Frame = MIRRORED

    def window(self, draws: Draws) -> Window:
        """Which images are mirrored, as a window."""
        return mirrored_where(draws.bernoulli(self.p))

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Flip some images of the batch (N, C, H, W)."""
        return flip_where(images, draws.bernoulli(self.p))


@register.augmentation
def flip(*, p: Probability = 0.5) -> Augmentation:
    """Mirror images left to right at random.

    Args:
        p: Probability that an image is mirrored, 0 to 1.

    Raises:
        ConfigError: ``p`` isn't a probability.
    """
    check_settings(flip, locals())
    return Flip(p)
