"""Online batch selection (Loshchilov and Hutter, 2015; arXiv:1511.06343)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import (
    Draws,
    Fraction,
    Probability,
    Regularizer,
    Timestamp,
    check_settings,
)


@dataclass(frozen=True, kw_only=True)
class OnlineBatchSelection(Regularizer):
    """Trains on images with high losses; see ``online_batch_selection``."""

    keep: float
    hardest: float
    start: float
    end: float

    def selection(self, losses: Tensor, draws: Draws, moment: Timestamp) -> Tensor | None:
        """The hardest, and some of the others."""
        num_kept = round(self.keep * len(losses))
        if not self.start <= moment.progress < self.end or not 0 < num_kept < len(losses):
            return None
        order = losses.argsort(descending=True, stable=True)
        surely, others = order.tensor_split([round(self.hardest * len(losses))])
        drawn = others[draws.uniform(0.0, 1.0)[others].argsort(stable=True)]
        # In the batch's order, which is random: ranks and groups get hard and easy ones alike.
        return torch.cat([surely, drawn])[:num_kept].sort().values


@register.regularizer
def online_batch_selection(
    *,
    keep: Annotated[float, Gt(0), Le(1)] = 0.6,
    hardest: Probability = 0.4,
    start: Fraction = 0.15,
    end: Annotated[float, Gt(0), Le(1)] = 1.0,
) -> Regularizer:
    """Train on the hard images of each batch and on some of the easy ones, and leave out the rest.

    Online batch selection (Loshchilov and Hutter, 2015; arXiv:1511.06343): which images are hard is
    known by their losses when they were last trained on, so that those left out cost nothing. Of
    nets that are trained for a few epochs, steps at 0.6 of the price are worth more than whole
    ones. Batches, schedules and epochs are counted as if all images were trained on.

    Args:
        keep: Share of each batch that is trained on.
        hardest: Share of each batch, its images of the highest losses, that is trained on for sure;
            the others that are needed are drawn from the rest. At most ``keep``.
        start: Share of the run from which on images are left out, since losses say little before.
        end: Share of the run up to which they are.

    Raises:
        ConfigError: ``hardest`` is above ``keep``, or ``end`` isn't above ``start``.

    Differs from the paper: a batch is chosen from the images whose turn it is in an epoch, not
    from all; two shares take the place of probabilities that fall exponentially with the rank; and
    losses aren't computed anew in between.
    """
    check_settings(online_batch_selection, locals())
    if hardest > keep:
        raise ConfigError(f"is {hardest}; expected at most keep, {keep}", parameter="hardest")
    if end <= start:
        raise ConfigError(f"is {end}; expected more than start, {start}", parameter="end")
    return OnlineBatchSelection(keep=keep, hardest=hardest, start=start, end=end)
