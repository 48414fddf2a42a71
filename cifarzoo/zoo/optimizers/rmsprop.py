"""RMSprop, the rate over the root mean square of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from cifarzoo import register
from cifarzoo.protocols import Fraction, NonNegativeFloat, PositiveFloat, check_settings
from cifarzoo.zoo.optimizers.stepping import plain_step

torchs_step = plain_step(torch.optim.RMSprop)


class RMSprop(torch.optim.RMSprop):
    """torch's."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        Args:
            closure: Computes the loss and the gradients; None: these are there.
        """
        return torchs_step(self, closure)


@register.optimizer
def rmsprop(
    params: Iterable[dict[str, Any]],
    *,
    lr: PositiveFloat = 1e-3,
    alpha: Fraction = 0.9,
    momentum: Fraction = 0.9,
    eps: PositiveFloat = 1e-8,
    centered: bool = False,
    weight_decay: NonNegativeFloat = 1e-5,
) -> torch.optim.Optimizer:
    """Gradients over the root of their mean square, then momentum.

    Tieleman and Hinton (2012; lecture 6e of "Neural Networks for Machine Learning"), as
    ``torch.optim.RMSprop`` has it.

    Args:
        params: Groups of parameters; a group's own ``weight_decay`` stands.
        lr: Base learning rate, above 0.
        alpha: Decay of the running mean of squares, 0 to below 1.
        momentum: From 0 to below 1; 0: none.
        eps: Added to the root, above 0.
        centered: Whether the squared mean gradient is taken off the mean square (Graves, 2013;
            arXiv:1308.0850).
        weight_decay: Decay, at least 0; it is coupled, an L2 penalty of half of it.

    Raises:
        ConfigError: A number is out of its range.

    Differs from TensorFlow's, which EfficientNet and MobileNet were trained with: ``eps`` is added
    to the root and not below it, and the mean square begins at 0 and not at 1.
    """
    check_settings(rmsprop, locals())
    settings: dict[str, Any] = {"lr": lr, "alpha": alpha, "momentum": momentum, "eps": eps}
    return RMSprop(params, centered=centered, weight_decay=weight_decay, **settings)
