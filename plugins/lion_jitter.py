"""A plugin in one file: an optimizer and a regularizer of residual branches.

    cifarzoo run resnet20.gin -p plugins/lion_jitter.py -s 'run.regularizers=[@residual_jitter]'

To try an idea of your own: copy this file, change a name and what it does, and name the file
by ``-p``. ``cifarzoo ls -p FILE`` lists it, ``cifarzoo check`` knows its settings, and a run
keeps a copy of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Regularizer, Site


class Lion(torch.optim.Optimizer):
    """Steps by the sign of an interpolated momentum; see ``lion``."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every parameter; algorithm 2 of the paper."""
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            rate, (beta1, beta2) = group["lr"], group["betas"]
            for p in (p for p in group["params"] if p.grad is not None):
                if "momentum" not in self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
                momentum = self.state[p]["momentum"]
                update = torch.lerp(p.grad, momentum, beta1).sign_()
                p.mul_(1 - rate * group["weight_decay"]).sub_(update, alpha=rate)
                momentum.lerp_(p.grad, 1 - beta2)
        return loss


@register.optimizer
def lion(
    params: Iterable[dict[str, Any]],
    *,
    lr: float = 1e-3,
    betas: Sequence[float] = (0.9, 0.99),
    weight_decay: float = 0.1,
) -> torch.optim.Optimizer:
    """The sign of a momentum, with decoupled weight decay (Chen et al., 2023; arXiv:2302.06675)."""
    if not lr > 0:
        raise ConfigError(f"is {lr!r}; expected a number above 0", parameter="lr")
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ConfigError(f"is {betas!r}; expected two numbers from 0 to 1", parameter="betas")
    return Lion(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay})


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
def residual_jitter(*, strength: float = 0.5) -> Regularizer:
    """Scale each residual by a random number from 1 - strength to 1 + strength."""
    if not 0 <= strength <= 1:
        raise ConfigError(f"is {strength!r}; expected 0 to 1", parameter="strength")
    return ResidualJitter(strength)
