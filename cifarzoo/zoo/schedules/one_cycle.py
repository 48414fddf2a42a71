"""One cycle of the learning rate: up, and far down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from cifarzoo import register
from cifarzoo.protocols import Fraction, Schedule, Timestamp, check_settings

Anneal = Literal["cosine", "linear"]


@dataclass(frozen=True, kw_only=True)
class OneCycle:
    """From ``1 / div_factor`` up to 1 and down; arguments as in ``one_cycle``."""

    peak: float
    div_factor: float
    final_div_factor: float
    anneal: Anneal

    def __call__(self, moment: Timestamp) -> float:
        """The factor on the base learning rate at ``moment``."""
        first, top = 1 / self.div_factor, self.peak * moment.total_steps - 1
        last = moment.total_steps - 1
        if moment.step <= top:
            return self._between(first, 1.0, moment.step / top if top > 0 else 1.0)
        share = (moment.step - top) / (last - top)
        return self._between(1.0, first / self.final_div_factor, share)

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


@register.schedule
def one_cycle(
    *,
    peak: Fraction = 0.3,
    div_factor: Annotated[float, Ge(1), Lt(math.inf)] = 25.0,
    final_div_factor: Annotated[float, Ge(1), Lt(math.inf)] = 1e4,
    anneal: Anneal = "cosine",
) -> Schedule:
    """One cycle: up to the base rate, and down to far below where it began.

    Super-Convergence (Smith and Topin, 2018; arXiv:1708.07120), in the two phases of fastai, with
    the numbers of ``torch.optim.lr_scheduler.OneCycleLR``.

    Args:
        peak: Share of the run at whose end the factor is 1, 0 to below 1.
        div_factor: How many times lower than the base rate the first step's is, at least 1.
        final_div_factor: How many times lower still the last step's is, at least 1.
        anneal: Shape of both phases: half a ``cosine``, or ``linear``.

    Returns:
        The factor on the base learning rate, which is the largest one.

    Raises:
        ConfigError: A number is out of its range, or there is no such ``anneal``.

    Differs from the paper: momentum stays as it is, and there is no third phase.
    """
    check_settings(one_cycle, locals())
    return OneCycle(
        peak=peak, div_factor=div_factor, final_div_factor=final_div_factor, anneal=anneal
    )
