"""A learning rate that stays."""

from __future__ import annotations

from cifarzoo import register
from cifarzoo.protocols import NonNegativeFloat, Schedule, Timestamp, check_settings
from cifarzoo.zoo.schedules.warmup import WarmedUp


@register.schedule
def constant(*, warmup_epochs: NonNegativeFloat = 0.0) -> Schedule:
    """The base learning rate throughout, after a linear warm-up.

    Args:
        warmup_epochs: Length of the line from 0 to 1 that multiplies it; 0: none.

    Returns:
        The factor on the base learning rate, 1 after the warm-up.

    Raises:
        ConfigError: ``warmup_epochs`` is negative or not finite.
    """
    check_settings(constant, locals())
    return WarmedUp(unchanged, warmup_epochs)


def unchanged(_: Timestamp) -> float:
    """Factor 1 at every moment."""
    return 1.0
