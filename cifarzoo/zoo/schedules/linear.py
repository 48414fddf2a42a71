"""A learning rate that falls on one line."""

from __future__ import annotations

from dataclasses import dataclass

from cifarzoo import register
from cifarzoo.protocols import (
    NonNegativeFloat,
    Probability,
    Schedule,
    Timestamp,
    check_settings,
)
from cifarzoo.zoo.schedules.warmup import WarmedUp


@dataclass(frozen=True)
class Linear:
    """``1 + (final - 1) * progress``.

    Attributes:
        final: The factor at the end of the run.
    """

    final: float

    def __call__(self, moment: Timestamp) -> float:
        """The factor on the base learning rate at ``moment``."""
        return 1 + (self.final - 1) * moment.progress


@register.schedule
def linear(*, warmup_epochs: NonNegativeFloat = 0.0, final: Probability = 0.0) -> Schedule:
    """A line from 1 down to ``final`` over the whole run, after a linear warm-up.

    As in Li et al. (2020; arXiv:1905.04753), who find no other shape better where the number of
    steps is fixed beforehand.

    Args:
        warmup_epochs: Length of the line from 0 to 1 that multiplies it; 0: none.
        final: Factor at the end of the run, 0 to 1.

    Returns:
        The factor on the base learning rate; it changes every step.

    Raises:
        ConfigError: ``warmup_epochs`` or ``final`` is out of range.
    """
    check_settings(linear, locals())
    return WarmedUp(Linear(final), warmup_epochs)
