"""TrivialAugment (Müller and Hutter, 2021; arXiv:2103.10158)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Augmentation, Draws, check_settings
from cifarzoo.zoo.augmentations.policies.space import OPERATIONS, Space, apply_each, torchvisions


@dataclass(frozen=True)
class TrivialAugmentWide:
    """``apply_each`` with an operation, a magnitude and a sign of each sample's own."""

    space: Space

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Change the batch (N, 3, H, W), uint8."""
        draws = draws.on_cpu
        operation = draws.integers(len(OPERATIONS))
        level = draws.integers(self.space.num_levels)
        column = self.space.column(level, draws.bernoulli(0.5))
        return apply_each(images, operation, column, self.space)


@register.augmentation
def trivial_augment_wide(*, num_magnitude_bins: Annotated[int, Ge(2)] = 31) -> Augmentation:
    """Apply one random operation of a random magnitude to each image.

    TrivialAugment (Müller and Hutter, 2021; arXiv:2103.10158), algorithm 1, with the wide
    space of its table 1 as torchvision has it. It comes before ``normalize``.

    Args:
        num_magnitude_bins: Magnitudes from the weakest to the strongest, at least 2.

    Raises:
        ConfigError: ``num_magnitude_bins`` is below 2.
    """
    check_settings(trivial_augment_wide, locals())
    return TrivialAugmentWide(
        torchvisions(
            num_levels=num_magnitude_bins,
            shear=0.99,
            translate_x=32.0,
            translate_y=32.0,
            rotate=135.0,
            enhance=0.99,
            posterize=6,
        )
    )
