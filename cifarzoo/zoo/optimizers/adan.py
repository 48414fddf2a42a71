"""Adan: Nesterov momentum whose gradient ahead is estimated from differences of gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import Fraction, NonNegativeFloat, PositiveFloat, check_settings
from cifarzoo.zoo.optimizers.stepping import PerParameter, check_betas


class Adan(PerParameter):
    """Means of gradients, of their differences, and of squares of both; see ``adan``."""

    def update(
        self,
        parameter: nn.Parameter,
        gradient: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
    ) -> None:
        """Algorithm 1 of the paper; see ``PerParameter``."""
        if not state:
            names = ("mean", "mean_difference", "mean_square")
            state.update(step=0, before=gradient.clone())
            state.update({name: torch.zeros_like(parameter) for name in names})
        state["step"] += 1
        shares = group["betas"]
        difference = gradient - state["before"]
        ahead = gradient.add(difference, alpha=shares[1])
        state["mean"].lerp_(gradient, 1 - shares[0])
        state["mean_difference"].lerp_(difference, 1 - shares[1])
        state["mean_square"].mul_(shares[2]).addcmul_(ahead, ahead, value=1 - shares[2])
        state["before"].copy_(gradient)
        begun = [1 - share ** state["step"] for share in shares]  # means begin at 0
        direction = (state["mean"] / begun[0]).add_(
            state["mean_difference"], alpha=shares[1] / begun[1]
        )
        root = (state["mean_square"] / begun[2]).sqrt_().add_(group["eps"])
        parameter.addcdiv_(direction, root, value=-group["lr"])
        parameter.div_(1 + group["lr"] * group["weight_decay"])


@register.optimizer
def adan(
    params: Iterable[dict[str, Any]],
    *,
    lr: PositiveFloat = 1e-3,
    betas: Sequence[Fraction] = (0.98, 0.92, 0.99),
    eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.02,
) -> torch.optim.Optimizer:
    """Adaptive Nesterov momentum, by differences of successive gradients.

    Adan (Xie et al., 2022; arXiv:2208.06677), algorithm 1.

    Args:
        params: Groups of parameters; a group's own ``weight_decay`` stands.
        lr: Base learning rate, above 0.
        betas: Shares that the running means of gradients, of their differences and of squares keep
            in a step, each from 0 to below 1: 1 less the paper's beta.
        eps: Added to the root of the last, above 0.
        weight_decay: Decay, at least 0; each step divides by ``1 + lr * weight_decay``.

    Raises:
        ConfigError: A number is out of its range.

    Differs from the paper: means begin at 0 and are corrected for it, as in the authors' code.
    """
    check_settings(adan, locals())
    check_betas(betas, count=3)
    settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
    return Adan(params, settings)
