"""LARS: SGD whose rate is scaled by the norms of each layer's weights and gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import Fraction, NonNegativeFloat, PositiveFloat, check_settings
from cifarzoo.zoo.optimizers.stepping import PerParameter, is_adapted


def local_rate(weight: Tensor, gradient: Tensor, *, trust: float, decay: float) -> Tensor:
    """``trust * |w| / (|g| + decay * |w|)``, equation 6; 1 where it isn't above 0.

    Args:
        weight: Parameters of a layer.
        gradient: Gradient of the loss, of the same shape.
        trust: The trust coefficient.
        decay: Weight decay of the layer.
    """
    norm = weight.norm()
    rate = trust * norm / (gradient.norm() + decay * norm)
    return torch.where((rate > 0) & rate.isfinite(), rate, torch.ones_like(rate))


class Lars(PerParameter):
    """SGD with momentum and a rate a layer; see ``lars``."""

    capturable = True

    def update(
        self,
        parameter: nn.Parameter,
        gradient: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
    ) -> None:
        """Algorithm 1 of the paper; see ``PerParameter``."""
        decay = group["weight_decay"]
        step = gradient.add(parameter, alpha=decay) * group["lr"]
        if is_adapted(parameter):
            step *= local_rate(parameter, gradient, trust=group["trust"], decay=decay)
        momentum = state.setdefault("momentum", torch.zeros_like(parameter))
        momentum.mul_(group["momentum"]).add_(step)
        parameter.sub_(
            step.add_(momentum, alpha=group["momentum"]) if group["nesterov"] else momentum
        )


@register.optimizer
def lars(
    params: Iterable[dict[str, Any]],
    *,
    lr: PositiveFloat = 1.0,
    momentum: Fraction = 0.9,
    nesterov: bool = False,
    weight_decay: NonNegativeFloat = 5e-4,
    trust: PositiveFloat = 1e-3,
) -> torch.optim.Optimizer:
    """SGD with momentum, for large batches: each layer has a rate by the size of its weights.

    Large Batch Training of Convolutional Networks (You et al., 2017; arXiv:1708.03888), algorithm
    1: ``m = momentum * m + lr * local * (g + weight_decay * p); p -= m``, where ``local`` is
    ``trust * |p| / (|g| + weight_decay * |p|)`` of a layer.

    Args:
        params: Groups of parameters; a group's own ``weight_decay`` stands.
        lr: Base learning rate, above 0.
        momentum: From 0 to below 1.
        nesterov: Whether the gradient is taken one momentum step ahead.
        weight_decay: Decay, at least 0; it is coupled.
        trust: The paper's trust coefficient, above 0.

    Raises:
        ConfigError: A number is out of its range.

    Differs from the paper: biases and norms have the base rate, as in the codes that use it.
    """
    check_settings(lars, locals())
    settings = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "trust": trust}
    return Lars(params, {**settings, "weight_decay": weight_decay})
