"""Cosine annealing with warm restarts."""

from __future__ import annotations

from dataclasses import dataclass

from cifarzoo import register
from cifarzoo.protocols import (
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Schedule,
    Timestamp,
    check_settings,
)
from cifarzoo.zoo.schedules.cosine import half_cosine
from cifarzoo.zoo.schedules.warmup import WarmedUp, epochs

A_CYCLES_END = 1e-3  # how near to it, as a share of the cycle, counts as there


@dataclass(frozen=True, kw_only=True)
class Sgdr:
    """Half a cosine from 1 to ``final`` in each cycle; arguments as in ``sgdr``."""

    cycle_epochs: float
    cycle_mult: int
    final: float

    def __call__(self, moment: Timestamp) -> float:
        """The factor on the base learning rate at ``moment``."""
        return half_cosine(self._share_of_cycle(moment.epoch), final=self.final)

    def _share_of_cycle(self, epoch: float) -> float:
        """How much of the cycle that ``epoch`` lies in is done, from 0 to below 1."""
        if self.cycle_mult == 1:
            return (epoch / self.cycle_epochs) % 1.0
        start, length = 0.0, self.cycle_epochs
        while epoch >= start + length:
            start, length = start + length, length * self.cycle_mult
        return (epoch - start) / length

    def warnings(self, total_epochs: float) -> list[str]:
        """That a run of ``total_epochs`` ends within a cycle, where it does."""
        share = self._share_of_cycle(total_epochs)
        if share < A_CYCLES_END or share > 1 - A_CYCLES_END:
            return []
        factor = f"{half_cosine(share, final=self.final):.2g}"
        return [f"the run ({epochs(total_epochs)}) ends within a cycle, at a factor of {factor}"]


@register.schedule
def sgdr(
    *,
    cycle_epochs: PositiveFloat = 10.0,
    cycle_mult: PositiveInt = 2,
    warmup_epochs: NonNegativeFloat = 0.0,
    final: Probability = 0.0,
) -> Schedule:
    """Half a cosine from 1 down to ``final``, again and again, in cycles that grow longer.

    SGDR (Loshchilov and Hutter, 2017; arXiv:1608.03983), equation 5; on CIFAR they have cycles of
    10 epochs that double (T_0 = 10, T_mult = 2) and end after 10, 30, 70 and 150.

    Args:
        cycle_epochs: Length of the first cycle in epochs, the paper's T_0, above 0.
        cycle_mult: How much longer each next cycle is, the paper's T_mult, at least 1.
        warmup_epochs: Length of the line from 0 to 1 that multiplies the whole; 0: none.
        final: Factor at the end of a cycle, 0 to 1.

    Returns:
        The factor on the base learning rate; it changes every step.

    Raises:
        ConfigError: A number is out of its range.
    """
    check_settings(sgdr, locals())
    cycles = Sgdr(cycle_epochs=cycle_epochs, cycle_mult=cycle_mult, final=final)
    return WarmedUp(cycles, warmup_epochs)
