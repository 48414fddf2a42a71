"""A learning rate that falls by the same share every epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt, Le

from cifarzoo import register
from cifarzoo.protocols import NonNegativeFloat, Schedule, Timestamp, check_settings
from cifarzoo.zoo.schedules.warmup import WarmedUp


@dataclass(frozen=True)
class Exponential:
    """``gamma ** epoch``.

    Attributes:
        gamma: Factor of an epoch.
        staircase: Whether only whole epochs count.
    """

    gamma: float
    staircase: bool

    def __call__(self, moment: Timestamp) -> float:
        """The factor on the base learning rate at ``moment``."""
        epoch = math.floor(moment.epoch) if self.staircase else moment.epoch
        return float(self.gamma**epoch)


@register.schedule
def exponential(
    *,
    gamma: Annotated[float, Gt(0), Le(1)] = 0.97,
    staircase: bool = False,
    warmup_epochs: NonNegativeFloat = 0.0,
) -> Schedule:
    """Multiply the rate by ``gamma`` every epoch, after a linear warm-up.

    As in EfficientNet (Tan and Le, 2019; arXiv:1905.11946), section 5.2: 0.97 every 2.4 epochs.

    Args:
        gamma: Factor of an epoch, above 0 to 1.
        staircase: Whether it falls once an epoch, as ``torch.optim.lr_scheduler.ExponentialLR``
            is mostly stepped, and not a little every step.
        warmup_epochs: Length of the line from 0 to 1 that multiplies it; 0: none.

    Returns:
        The factor on the base learning rate. It knows no end: a longer run ends at a lower rate.

    Raises:
        ConfigError: A number is out of its range.
    """
    check_settings(exponential, locals())
    return WarmedUp(Exponential(gamma, staircase), warmup_epochs)
