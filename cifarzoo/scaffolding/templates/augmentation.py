"""A plugin: the augmentation ``my_augmentation``."""

from __future__ import annotations

from dataclasses import dataclass

from cifarzoo import register
from cifarzoo.protocols import Augmentation, Draws, Probability, check_settings
from torch import Tensor


def dimmed(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply each image by a factor of its own.

    Args:
        images: Batch (N, C, H, W), uint8 or float.
        factors: Factor of each image (N,), 0 to 1.

    Returns:
        A new batch of the same type; whole numbers are rounded.
    """
    changed = images * factors[:, None, None, None]
    rounded = changed if images.is_floating_point() else changed.round()
    return rounded.to(images.dtype)


@dataclass(frozen=True)
class MyAugmentation:
    """``dimmed`` by random factors; see ``my_augmentation``."""

    strength: float

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """The changed batch (N, C, H, W)."""
        return dimmed(images, draws.uniform(1 - self.strength, 1))


@register.augmentation
def my_augmentation(*, strength: Probability = 0.5) -> Augmentation:
    """Make each image darker by a random factor; put it before ``normalize``.

    Args:
        strength: The factors are uniform from 1 - strength to 1; 0 to 1.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(my_augmentation, locals())
    return MyAugmentation(strength)
