"""A learning rate that stays until the run is near its end, and falls then."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Le

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import (
    Fraction,
    NonNegativeFloat,
    Probability,
    Schedule,
    Timestamp,
    check_settings,
)
from cifarzoo.zoo.schedules.warmup import WarmedUp

Shape = Literal["linear", "sqrt"]


@dataclass(frozen=True, kw_only=True)
class Trapezoid:
    """1, then over ``decay`` of the run down to ``final``, which ``hold`` of the run is left for.

    Attributes:
        decay: Share of the run in which it falls.
        hold: Share of the run behind the fall.
        final: The factor at the end of the run.
        shape: Shape of the fall.
    """

    decay: float
    hold: float
    final: float
    shape: Shape

    def __call__(self, moment: Timestamp) -> float:
        """The factor on the base learning rate at ``moment``."""
        begin = 1 - self.hold - self.decay
        done = min(max(0.0, (moment.progress - begin) / self.decay), 1.0)
        left = 1 - (math.sqrt(done) if self.shape == "sqrt" else done)
        return self.final + (1 - self.final) * left


@register.schedule
def trapezoid(
    *,
    warmup_epochs: NonNegativeFloat = 0.0,
    decay: Annotated[float, Gt(0), Le(1)] = 0.2,
    hold: Fraction = 0.0,
    final: Probability = 0.0,
    shape: Shape = "linear",
) -> Schedule:
    """Warm-up, stable, decay: a line up, the base rate, and down at the end of the run.

    Zhai et al. (2022; arXiv:2106.04560, section 3.5, there for an inverse root); "WSD" in MiniCPM
    (Hu et al., 2024; arXiv:2404.06395). Hägele et al. (2024; arXiv:2405.18392) find a fifth of
    the run enough for the fall, and ``sqrt`` (their equation 1) a little better than a line.

    Args:
        warmup_epochs: Length of the line from 0 to 1; 0: none.
        decay: Share of the run, at its end, in which the rate falls, above 0 to 1.
        hold: Share of the run behind the fall, in which the rate stays at ``final``, as that of
            stochastic weight averaging (Izmailov et al., 2018; arXiv:1803.05407) does; at most
            ``1 - decay``.
        final: Factor at the end of the run, 0 to 1.
        shape: The fall: ``linear``, or 1 less the ``sqrt`` of the share of it that is done.

    Returns:
        The factor on the base learning rate.

    Raises:
        ConfigError: A number is out of its range, or there is no such ``shape``.
    """
    check_settings(trapezoid, locals())
    if decay + hold > 1:
        raise ConfigError(f"is {hold!r}; expected at most 1 - decay", parameter="hold")
    fall = Trapezoid(decay=decay, hold=hold, final=final, shape=shape)
    return WarmedUp(fall, warmup_epochs)
