"""A learning rate that falls as a power of what is left of the run."""

from __future__ import annotations

from dataclasses import dataclass

from cifarzoo import register
from cifarzoo.protocols import (
    NonNegativeFloat,
    PositiveFloat,
    Probability,
    Schedule,
    Timestamp,
    check_settings,
)
from cifarzoo.zoo.schedules.warmup import WarmedUp


@dataclass(frozen=True)
class Polynomial:
    """``final + (1 - final) * (1 - progress) ** power``.

    Attributes:
        power: The exponent.
        final: The factor at the end of the run.
    """

    power: float
    final: float

    def __call__(self, moment: Timestamp) -> float:
        """The factor on the base learning rate at ``moment``."""
        return float(self.final + (1 - self.final) * (1 - moment.progress) ** self.power)


@register.schedule
def polynomial(
    *,
    power: PositiveFloat = 0.9,
    warmup_epochs: NonNegativeFloat = 0.0,
    final: Probability = 0.0,
) -> Schedule:
    """A power of the share of the run that is left, after a linear warm-up.

    The "poly" policy of DeepLab (Chen et al., 2017; arXiv:1606.00915), whose power
    is 0.9; 1 is ``linear``, and 2 is what LARS was tried with (You et al., 2017;
    arXiv:1708.03888).

    Args:
        power: The exponent, above 0; above 1 most of the fall comes early.
        warmup_epochs: Length of the line from 0 to 1 that multiplies it; 0: none.
        final: Factor at the end of the run, 0 to 1.

    Returns:
        The factor on the base learning rate; it changes every step.

    Raises:
        ConfigError: A number is out of its range.
    """
    check_settings(polynomial, locals())
    return WarmedUp(Polynomial(power, final), warmup_epochs)
