"""Cosine annealing (Loshchilov and Hutter, 2017; arXiv:1608.03983), without restarts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cifarzoo import register
from cifarzoo.protocols import NonNegativeFloat, Probability, Schedule, Timestamp, check_settings
from cifarzoo.zoo.schedules.warmup import WarmedUp


def half_cosine(share: float, *, final: float) -> float:
    """``final + (1 - final) * (1 + cos(pi * share)) / 2``: from 1 at 0 down to ``final`` at 1."""
    return final + (1 - final) * (0.5 * math.cos(math.pi * share) + 0.5)


@dataclass(frozen=True)
class Cosine:
    """``half_cosine`` over the run.

    Attributes:
        final: The factor at the end of the run.
    """

    final: float

    def __call__(self, moment: Timestamp) -> float:
        """The factor on the base learning rate at ``moment``."""
        return half_cosine(moment.progress, final=self.final)


@register.schedule
def cosine(*, warmup_epochs: NonNegativeFloat = 0.0, final: Probability = 0.0) -> Schedule:
    """Half a cosine from 1 down to ``final`` over the whole run, after a linear warm-up.

    SGDR (Loshchilov and Hutter, 2017; arXiv:1608.03983), equation 5.

    Args:
        warmup_epochs: Length of the line from 0 to 1 that multiplies it; 0: none.
        final: Factor at the end of the run, 0 to 1.

    Returns:
        The factor on the base learning rate; it changes every step.

    Raises:
        ConfigError: ``warmup_epochs`` or ``final`` is out of range.

    Differs from the paper: no restarts.
    """
    check_settings(cosine, locals())
    return WarmedUp(Cosine(final), warmup_epochs)
