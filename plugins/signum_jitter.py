"""A plugin in one file: an optimizer and a regularizer of residual branches.

    cifarzoo run resnet20.gin -p plugins/signum_jitter.py -s 'run.regularizers=[@residual_jitter]'

To try an idea of your own: copy this file, change a name and what it does, and name the file
by ``-p``. ``cifarzoo ls -p FILE`` lists it, ``cifarzoo check`` knows its settings, and a run
keeps a copy of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import (
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    Probability,
    Regularizer,
    Site,
    check_settings,
)


class Signum(torch.optim.Optimizer):
    """Steps by the sign of a momentum; see ``signum``."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every parameter; algorithm 2 of the paper."""
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            rate = group["lr"]
            for p in (p for p in group["params"] if p.grad is not None):
                if "momentum" not in self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
                momentum = self.state[p]["momentum"].lerp_(p.grad, 1 - group["momentum"])
                p.mul_(1 - rate * group["weight_decay"]).sub_(momentum.sign(), alpha=rate)
        return loss


@register.optimizer
def signum(
    params: Iterable[dict[str, Any]],
    *,
    lr: PositiveFloat = 1e-3,
    momentum: Fraction = 0.9,
    weight_decay: NonNegativeFloat = 0.1,
) -> torch.optim.Optimizer:
    """The sign of a momentum (Bernstein et al., 2018; arXiv:1802.04434), with decoupled decay."""
    check_settings(signum, locals())
    return Signum(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})


class Jitter(nn.Module):
    """Scales a residual (N, C, H, W) by one random number a sample, in training."""

    def __init__(self, strength: float, site: Site) -> None:
        super().__init__()
        self.factor = site.draws.uniform(1 - strength, 1 + strength)

    def forward(self, residual: Tensor) -> Tensor:
        """The residual times its factor; as it is in evaluation, where the factor's mean is 1."""
        return residual * self.factor(residual) if self.training else residual


@dataclass(frozen=True)
class ResidualJitter(Regularizer):
    """See ``residual_jitter``."""

    strength: float

    def branch(self, site: Site) -> nn.Module:
        """The jitter of one block."""
        return Jitter(self.strength, site)


@register.regularizer
def residual_jitter(*, strength: Probability = 0.5) -> Regularizer:
    """Scale each residual by a random number from 1 - strength to 1 + strength."""
    check_settings(residual_jitter, locals())
    return ResidualJitter(strength)
