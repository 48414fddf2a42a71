"""A plugin: the optimizer ``my_optimizer``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from cifarzoo import register
from cifarzoo.protocols import Fraction, NonNegativeFloat, PositiveFloat, check_settings


class MyOptimizer(torch.optim.Optimizer):
    """Steps along a momentum of the gradients; see ``my_optimizer``."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every parameter; what it remembers is in ``state``, which checkpoints keep."""
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            rate = group["lr"]  # the schedule's, in each step
            for p in (p for p in group["params"] if p.grad is not None):
                if "momentum" not in self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
                momentum = self.state[p]["momentum"].mul_(group["momentum"]).add_(p.grad)
                p.mul_(1 - rate * group["weight_decay"]).sub_(momentum, alpha=rate)
        return loss


@register.optimizer
def my_optimizer(
    params: Iterable[dict[str, Any]],
    *,
    lr: PositiveFloat = 0.1,
    momentum: Fraction = 0.9,
    weight_decay: NonNegativeFloat = 5e-4,
) -> torch.optim.Optimizer:
    """Gradient descent with momentum and decoupled weight decay.

    Args:
        params: Two groups, decayed and not.
        lr: Base learning rate, above 0.
        momentum: Share of the momentum that is kept in a step, 0 to below 1.
        weight_decay: Share of the weights that a step at a rate of 1 takes away, from 0.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(my_optimizer, locals())
    return MyOptimizer(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
