"""RandAugment (Cubuk et al., 2019; arXiv:1909.13719)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Augmentation, Draws, NonNegativeInt, PositiveInt, check_settings
from cifarzoo.zoo.augmentations.policies.space import OPERATIONS, Space, apply_each, torchvisions


@dataclass(frozen=True, kw_only=True)
class RandAugment:
    """``apply_each`` with operations and signs of each sample's own; see ``rand_augment``."""

    num_ops: int
    magnitude: int
    num_magnitude_bins: int

    def space(self, height: int, width: int) -> Space:
        """How strong operations are on images of H by W pixels."""
        return torchvisions(
            num_levels=self.num_magnitude_bins,
            shear=0.3,
            translate_x=150.0 / 331.0 * width,
            translate_y=150.0 / 331.0 * height,
            rotate=30.0,
            enhance=0.9,
            posterize=4,
        )

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Change the batch (N, 3, H, W), uint8."""
        space, draws = self.space(*images.shape[2:]), draws.on_cpu
        for _ in range(self.num_ops):
            operation = draws.integers(len(OPERATIONS))
            level = torch.full_like(operation, self.magnitude)
            column = space.column(level, draws.bernoulli(0.5))
            images = apply_each(images, operation, column, space)
        return images


@register.augmentation
def rand_augment(
    *,
    num_ops: PositiveInt = 2,
    magnitude: NonNegativeInt = 9,
    num_magnitude_bins: Annotated[int, Ge(2)] = 31,
) -> Augmentation:
    """Apply random operations of one magnitude to each image, one after another.

    RandAugment (Cubuk et al., 2019; arXiv:1909.13719), algorithm 1, with torchvision's
    fourteen operations and magnitudes. It comes before ``normalize``.

    Args:
        num_ops: Operations an image, at least 1; the paper's N.
        magnitude: Magnitude of all operations, 0 to num_magnitude_bins - 1; the paper's M.
        num_magnitude_bins: Magnitudes from the weakest to the strongest, at least 2.

    Raises:
        ConfigError: A number is out of its range.

    Differs from the paper: as in torchvision, magnitudes are negative for half of the samples,
    also those of brightness, color, contrast and sharpness, and shifts leave black.
    """
    check_settings(rand_augment, locals())
    if magnitude >= num_magnitude_bins:
        raise ConfigError(
            f"is {magnitude!r}; expected 0 to {num_magnitude_bins - 1}", parameter="magnitude"
        )
    return RandAugment(num_ops=num_ops, magnitude=magnitude, num_magnitude_bins=num_magnitude_bins)
