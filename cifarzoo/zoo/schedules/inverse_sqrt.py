"""A learning rate that falls with the root of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cifarzoo import register
from cifarzoo.protocols import NonNegativeFloat, PositiveFloat, Schedule, Timestamp, check_settings
from cifarzoo.zoo.schedules.warmup import WarmedUp


@dataclass(frozen=True)
class InverseSqrt:
    """``1 / sqrt(max(1, epoch / timescale_epochs))``.

    Attributes:
        timescale_epochs: Epoch until which the factor is 1.
    """

    timescale_epochs: float

    def __call__(self, moment: Timestamp) -> float:
        """The factor on the base learning rate at ``moment``."""
        return 1 / math.sqrt(max(1.0, moment.epoch / self.timescale_epochs))


@register.schedule
def inverse_sqrt(
    *, timescale_epochs: PositiveFloat = 5.0, warmup_epochs: NonNegativeFloat = 5.0
) -> Schedule:
    """The inverse root of the epoch, after a linear warm-up.

    Attention Is All You Need (Vaswani et al., 2017; arXiv:1706.03762), equation 3, where both
    lengths are the same. It knows no end, so that a run can be made longer; Zhai et al. (2022;
    arXiv:2106.04560) let it end in a line to 0.

    Args:
        timescale_epochs: Epoch from which the factor falls, above 0: it is one half at four times
            as many epochs.
        warmup_epochs: Length of the line from 0 to 1 that multiplies it; 0: none.

    Returns:
        The factor on the base learning rate, which is the largest one.

    Raises:
        ConfigError: A number is out of its range.
    """
    check_settings(inverse_sqrt, locals())
    return WarmedUp(InverseSqrt(timescale_epochs), warmup_epochs)
