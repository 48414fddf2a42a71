"""LAMB: Adam whose steps are scaled by the norm of each layer's weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import Fraction, NonNegativeFloat, PositiveFloat, check_settings
from cifarzoo.zoo.optimizers.stepping import PerParameter, check_betas, is_adapted


class Lamb(PerParameter):
    """Adam with steps as long as a layer's weights; see ``lamb``."""

    def update(
        self,
        parameter: nn.Parameter,
        gradient: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
    ) -> None:
        """Algorithm 2 of the paper; see ``PerParameter``."""
        if not state:
            state.update(step=0, mean=torch.zeros_like(parameter))
            state.update(mean_square=torch.zeros_like(parameter))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        mean = state["mean"].lerp_(gradient, 1 - beta1) / (1 - beta1 ** state["step"])
        square = state["mean_square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (square / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        step = mean.div_(root).add_(parameter, alpha=group["weight_decay"])
        if is_adapted(parameter):
            ratio = parameter.norm() / step.norm()
            step *= torch.where((ratio > 0) & ratio.isfinite(), ratio, torch.ones_like(ratio))
        parameter.sub_(step, alpha=group["lr"])


@register.optimizer
def lamb(
    params: Iterable[dict[str, Any]],
    *,
    lr: PositiveFloat = 5e-3,
    betas: Sequence[Fraction] = (0.9, 0.999),
    eps: PositiveFloat = 1e-6,
    weight_decay: NonNegativeFloat = 1e-2,
) -> torch.optim.Optimizer:
    """Adam for large batches: each layer's step is as long as its weights, times the rate.

    Large Batch Optimization for Deep Learning (You et al., 2020; arXiv:1904.00962), algorithm 2,
    with phi the identity.

    Args:
        params: Groups of parameters; a group's own ``weight_decay`` stands.
        lr: Base learning rate, above 0.
        betas: Decay of the running means of the gradient and of its square, each from 0 to
            below 1.
        eps: Added to the root of the second, above 0.
        weight_decay: Decay, at least 0, which is part of the step that is scaled.

    Raises:
        ConfigError: A number is out of its range.

    Differs from the paper: biases and norms aren't scaled, as in the authors' code.
    """
    check_settings(lamb, locals())
    check_betas(betas, count=2)
    settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
    return Lamb(params, settings)
