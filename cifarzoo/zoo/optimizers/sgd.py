"""Stochastic gradient descent with momentum."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from cifarzoo.errors import ConfigError
from cifarzoo.registry import register


@register.optimizer
def sgd(
    params: Iterable[dict[str, Any]],
    *,
    lr: float = 0.1,
    momentum: float = 0.9,
    nesterov: bool = True,
    weight_decay: float = 5e-4,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum, Nesterov's by default.

    Sutskever et al. (2013), as in Torch and in Flax's ``examples/cifar10``:
    ``g += weight_decay * p; m = momentum * m + g; p -= lr * (g + momentum * m)``, or
    ``p -= lr * m`` where ``nesterov`` is off. The decay is thus coupled: an L2 penalty of
    ``weight_decay / 2``.

    Args:
        params: Groups of parameters; a group's own ``weight_decay`` stands.
        lr: Base learning rate, above 0.
        momentum: From 0 to below 1.
        nesterov: Whether the gradient is taken one momentum step ahead.
        weight_decay: At least 0.

    Raises:
        ConfigError: A number is out of its range, or ``nesterov`` has no momentum to use.

    Differs from the paper: the learning rate multiplies the whole update, so a drop acts on
    the momentum gathered before it too.
    """
    if not 0 < lr < math.inf:
        raise ConfigError(f"is {lr!r}; expected a number above 0", parameter="lr")
    if not 0 <= momentum < 1:
        raise ConfigError(f"is {momentum!r}; expected 0 to below 1", parameter="momentum")
    if nesterov and momentum == 0:
        raise ConfigError("is True; expected False where momentum is 0", parameter="nesterov")
    if not 0 <= weight_decay < math.inf:
        raise ConfigError(
            f"is {weight_decay!r}; expected a number of at least 0", parameter="weight_decay"
        )
    return torch.optim.SGD(
        params,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        fused=True,
    )
