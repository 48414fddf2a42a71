"""A plugin: the schedule ``my_schedule``."""

from __future__ import annotations

from cifarzoo import register
from cifarzoo.protocols import Fraction, PositiveFloat, Schedule, Timestamp, check_settings


def power_of_rest(progress: float, *, power: float, final: float) -> float:
    """The factor on the base learning rate, ``final + (1 - final) * (1 - progress) ** power``."""
    rest: float = (1 - progress) ** power
    return final + (1 - final) * rest


@register.schedule
def my_schedule(*, power: PositiveFloat = 2.0, final: Fraction = 0.0) -> Schedule:
    """Fall from 1 with a power of what is left of the run.

    Args:
        power: Exponent, above 0; 1 gives a line.
        final: Factor at the end, 0 to below 1.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(my_schedule, locals())

    def factor(time: Timestamp) -> float:
        return power_of_rest(time.progress, power=power, final=final)

    return factor
