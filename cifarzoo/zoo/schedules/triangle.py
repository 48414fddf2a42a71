"""A learning rate that rises on a line and falls on another."""

from __future__ import annotations

from dataclasses import dataclass

from cifarzoo import register
from cifarzoo.protocols import Fraction, NonNegativeFloat, Schedule, Timestamp, check_settings


@dataclass(frozen=True, kw_only=True)
class Triangle:
    """Lines from ``start`` up to 1 and down to ``end``; arguments as in ``triangle``."""

    start: float
    peak: float
    end: float

    def __call__(self, moment: Timestamp) -> float:
        """The factor on the base learning rate at ``moment``."""
        top = int(self.peak * moment.total_steps)
        if moment.step < top:
            return self.start + (1 - self.start) * moment.step / top
        return 1 + (self.end - 1) * (moment.step - top) / (moment.total_steps - top)


@register.schedule
def triangle(
    *, start: NonNegativeFloat = 0.2, peak: Fraction = 0.23, end: NonNegativeFloat = 0.07
) -> Schedule:
    """A line up to the base rate and a line down, over the whole run.

    A slanted triangle (Howard and Ruder, 2018; arXiv:1801.06146, section 3.2), as speed-runs on
    CIFAR-10 have it since Page (2018, "How to train your ResNet").

    Args:
        start: Factor of the first step, at least 0.
        peak: Share of the run's steps after which the factor is 1, 0 to below 1; 0: it falls
            from the first step on, and ``start`` has no effect.
        end: Factor that the step after the last would have, at least 0.

    Raises:
        ConfigError: A number is out of its range.
    """
    check_settings(triangle, locals())
    return Triangle(start=start, peak=peak, end=end)
