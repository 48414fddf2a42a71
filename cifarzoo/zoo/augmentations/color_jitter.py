"""Colour jitter: brightness, contrast, saturation and hue by random amounts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Augmentation, Draws, NonNegativeFloat, check_settings
from cifarzoo.zoo.augmentations.operations import colors

ORDERS = list(permutations(range(4)))


@dataclass(frozen=True, kw_only=True)
class ColorJitter:
    """Changes the colours of each image; arguments as in ``color_jitter``."""

    brightness: float
    contrast: float
    saturation: float
    hue: float

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Change the batch (N, 3, H, W), uint8."""
        colors.check_colors(images)
        order = ORDERS[int(draws.on_cpu.integers(len(ORDERS), per="batch")[0])]
        changes = self._changes(draws)
        for number in order:
            change = changes[number]
            images = images if change is None else change(images)
        return images

    def _changes(self, draws: Draws) -> list[Callable[[Tensor], Tensor] | None]:
        """What is done, drawn whatever the order is; None where a strength is 0."""
        by_factor = (
            (colors.brightness, self.brightness),
            (colors.contrast, self.contrast),
            (colors.color, self.saturation),
        )
        changes: list[Callable[[Tensor], Tensor] | None] = [
            _with_factor(change, draws.uniform(max(0.0, 1 - strength), 1 + strength))
            if strength
            else None
            for change, strength in by_factor
        ]
        turned = _with_factor(colors.hue, draws.uniform(-self.hue, self.hue)) if self.hue else None
        return [*changes, turned]


def _with_factor(
    change: Callable[[Tensor, Tensor], Tensor], factor: Tensor
) -> Callable[[Tensor], Tensor]:
    return lambda images: change(images, factor)


@register.augmentation
def color_jitter(
    *,
    brightness: NonNegativeFloat = 0.4,
    contrast: NonNegativeFloat = 0.4,
    saturation: NonNegativeFloat = 0.4,
    hue: Annotated[float, Ge(0), Le(0.5)] = 0.1,
) -> Augmentation:
    """Change brightness, contrast, saturation and hue of each image by random amounts.

    As torchvision's ``ColorJitter``; Howard (2013; arXiv:1312.5402) for the idea. Amounts are each
    image's own. It comes before ``normalize``.

    Args:
        brightness: Factors are uniform from ``1 - brightness`` to ``1 + brightness``, but not
            below 0; 0: unchanged.
        contrast: Likewise.
        saturation: Likewise.
        hue: Shares of the circle by which hues are turned, either way, 0 to 0.5.

    Raises:
        ConfigError: A number is out of its range, or all are 0.

    Differs from torchvision's: one random order of the four a batch.
    """
    check_settings(color_jitter, locals())
    if not any((brightness, contrast, saturation, hue)):
        raise ConfigError("is 0, as the others are; expected one above 0", parameter="brightness")
    return ColorJitter(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
