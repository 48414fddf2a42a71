"""A learning rate that drops at milestones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import NonNegativeFloat, Schedule, Timestamp, check_settings
from cifarzoo.zoo.schedules.warmup import WarmedUp, epochs


@dataclass(frozen=True, kw_only=True)
class Multistep:
    """The factor of the last milestone passed, 1 before the first.

    Attributes:
        milestones: Times of the drops, in rising order.
        factors: Factors on the base rate, one a milestone.
        unit: Unit of the milestones: epochs, or fractions of the run.
        boundary: Whether a milestone counts from its own step on, or from the next.
    """

    milestones: tuple[float, ...]
    factors: tuple[float, ...]
    unit: Literal["epoch", "fraction"]
    boundary: Literal["at", "after"]

    def __call__(self, moment: Timestamp) -> float:
        """The factor on the base learning rate at ``moment``."""
        now = moment.epoch if self.unit == "epoch" else moment.progress
        factor = 1.0
        for milestone, its_factor in zip(self.milestones, self.factors, strict=True):
            if now > milestone or (self.boundary == "at" and now == milestone):
                factor = its_factor
        return factor

    def warnings(self, total_epochs: float) -> list[str]:
        """The milestones that a run of ``total_epochs`` never passes, a line each."""
        return [
            f"milestone {milestone:g} is past the end of the run ({epochs(total_epochs)})"
            for milestone in self.milestones
            if self.unit == "epoch" and milestone >= total_epochs
        ]


@register.schedule
def multistep(
    *,
    milestones: Sequence[NonNegativeFloat],
    factors: Sequence[NonNegativeFloat],
    unit: Literal["epoch", "fraction"] = "epoch",
    boundary: Literal["at", "after"] = "at",
    warmup_epochs: NonNegativeFloat = 0.0,
) -> Schedule:
    """Drop the rate to a factor of the base rate at each milestone, after a linear warm-up.

    Args:
        milestones: Where it drops, in rising order, each at least 0.
        factors: Factor from each milestone on: of the base rate, not of the rate before it.
        unit: What milestones count: ``epoch``, or ``fraction`` of the run (below 1), so that
            shortening the run moves them.
        boundary: ``at``: the first step of milestone 60 has the new rate. ``after``: the
            second has it, as in Flax's ``examples/cifar10``.
        warmup_epochs: Length of the line from 0 to 1 that multiplies it; 0: none.

    Returns:
        The factor on the base learning rate.

    Raises:
        ConfigError: The milestones don't rise or are out of range, a factor is, or there
            isn't one factor a milestone.
    """
    check_settings(multistep, locals())
    _check_milestones(milestones, unit)
    if len(factors) != len(milestones):
        raise ConfigError(
            f"has {len(factors)} values; expected one for each of the {len(milestones)} milestones",
            parameter="factors",
        )
    drops = Multistep(
        milestones=tuple(milestones), factors=tuple(factors), unit=unit, boundary=boundary
    )
    return WarmedUp(drops, warmup_epochs)


def _check_milestones(milestones: Sequence[float], unit: str) -> None:
    if not milestones:
        raise ConfigError("is empty; expected at least one number", parameter="milestones")
    if unit == "fraction" and max(milestones) >= 1:
        raise ConfigError(
            f"is {list(milestones)}; expected fractions, from 0 to below 1", parameter="milestones"
        )
    if any(later <= earlier for earlier, later in pairwise(milestones)):
        raise ConfigError(
            f"is {list(milestones)}; expected numbers that rise", parameter="milestones"
        )
