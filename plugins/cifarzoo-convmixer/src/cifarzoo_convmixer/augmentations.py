"""Random grayscale (Chen et al., 2020; arXiv:2002.05709)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Augmentation, Draws

LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, in torchvision's digits


def grayscale_where(images: Tensor, is_gray: Tensor) -> Tensor:
    """Replace all channels of the marked images by their luma.

    Args:
        images: Batch (N, 3, H, W), uint8 or float.
        is_gray: Which of them, bool (N,).

    Returns:
        A new batch of the same type; of uint8 images the luma is cut to whole numbers.
    """
    weights = torch.tensor(LUMA, device=images.device)[:, None, None]
    luma = (images * weights).sum(1, keepdim=True).to(images.dtype)
    return torch.where(is_gray[:, None, None, None], luma, images)


@dataclass(frozen=True)
class RandomGrayscale:
    """``grayscale_where``, each image with probability ``p``."""

    p: float

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Take the colour from some images of the batch (N, 3, H, W)."""
        return grayscale_where(images, draws.bernoulli(self.p))


@register.augmentation
def random_grayscale(*, p: float = 0.2) -> Augmentation:
    """Take the colour from images at random; put it before ``normalize``.

    As in SimCLR (Chen et al., 2020; arXiv:2002.05709), appendix A.

    Args:
        p: Probability that an image loses its colour, 0 to 1.

    Raises:
        ConfigError: ``p`` isn't a probability.
    """
    if not 0 <= p <= 1:
        raise ConfigError(f"is {p!r}; expected 0 to 1", parameter="p")
    return RandomGrayscale(p)
