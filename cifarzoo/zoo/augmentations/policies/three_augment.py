"""3-Augment: grey, solarized or blurred, each image one of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Augmentation, Draws, NonNegativeFloat, check_settings
from cifarzoo.zoo.augmentations.color_jitter import ColorJitter
from cifarzoo.zoo.augmentations.operations import colors

SIGMAS = (0.1, 2.0)  # pixels of the blur, as in the authors' code
KERNEL_SIZE = 9  # cut off at twice the widest sigma
THRESHOLD = 128.0  # of solarize


@dataclass(frozen=True, kw_only=True)
class ThreeAugment:
    """One of three changes of each image, then colour jitter; see ``three_augment``."""

    jitter: ColorJitter | None

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Change the batch (N, 3, H, W), uint8."""
        colors.check_colors(images)
        choice = draws.integers(3)[:, None, None, None]
        sigma = draws.uniform(*SIGMAS)
        threshold = torch.full_like(sigma, THRESHOLD)
        kernel_size = min(KERNEL_SIZE, 2 * min(images.shape[2:]) - 1)
        changed = torch.where(choice == 0, colors.grayscale(images), images)
        changed = torch.where(choice == 1, colors.solarize(images, threshold), changed)
        blurred = colors.gaussian_blur(images, sigma, kernel_size=kernel_size)
        changed = torch.where(choice == 2, blurred, changed)
        return changed if self.jitter is None else self.jitter(changed, draws)


@register.augmentation
def three_augment(*, color_jitter: NonNegativeFloat = 0.3) -> Augmentation:
    """Make each image grey, solarize it or blur it, and change its colours.

    DeiT III (Touvron et al., 2022; arXiv:2204.07118), section 3.2, 3-Augment: one of the three at
    random, then colour jitter; crops and flips are components of their own. It comes before
    ``normalize``.

    Args:
        color_jitter: Strength of the changes in brightness, contrast and saturation, at least 0;
            the paper's 0.3; 0: none.

    Raises:
        ConfigError: ``color_jitter`` is out of its range.

    Differs from the paper: the blur is cut off at four pixels, and Pillow's is an approximation.
    """
    check_settings(three_augment, locals())
    jitter = None
    if color_jitter:
        jitter = ColorJitter(
            brightness=color_jitter, contrast=color_jitter, saturation=color_jitter, hue=0.0
        )
    return ThreeAugment(jitter=jitter)
