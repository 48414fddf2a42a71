"""Lion: the sign of an interpolated momentum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import Fraction, NonNegativeFloat, PositiveFloat, check_settings
from cifarzoo.zoo.optimizers.stepping import PerParameter, check_betas, descend


class Lion(PerParameter):
    """Steps by the sign of an interpolated momentum; see ``lion``."""

    capturable = True

    def update(
        self,
        parameter: nn.Parameter,
        gradient: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
    ) -> None:
        """Algorithm 2 of the paper; see ``PerParameter``."""
        beta1, beta2 = group["betas"]
        momentum = state.setdefault("momentum", torch.zeros_like(parameter))
        direction = torch.lerp(gradient, momentum, beta1).sign_()
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        descend(parameter, direction, group["lr"])
        momentum.lerp_(gradient, 1 - beta2)


@register.optimizer
def lion(
    params: Iterable[dict[str, Any]],
    *,
    lr: PositiveFloat = 1e-4,
    betas: Sequence[Fraction] = (0.9, 0.99),
    weight_decay: NonNegativeFloat = 1.0,
) -> torch.optim.Optimizer:
    """The sign of an interpolated momentum, with decoupled weight decay.

    Symbolic Discovery of Optimization Algorithms (Chen et al., 2023; arXiv:2302.06675), algorithm
    2. Every weight moves by ``lr`` a step; the authors have rates 3 to 10 times lower than
    AdamW's, and a ``weight_decay`` as much higher.

    Args:
        params: Groups of parameters; a group's own ``weight_decay`` stands.
        lr: Base learning rate, above 0.
        betas: Shares of the old momentum, each from 0 to below 1: in the direction, and in what
            is kept.
        weight_decay: Decay, at least 0; each step takes ``lr * weight_decay`` of a parameter.

    Raises:
        ConfigError: A number is out of its range.
    """
    check_settings(lion, locals())
    check_betas(betas, count=2)
    return Lion(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay})
