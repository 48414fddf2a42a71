"""Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from cifarzoo import register
from cifarzoo.protocols import Fraction, NonNegativeFloat, PositiveFloat, check_settings
from cifarzoo.zoo.optimizers.stepping import check_betas, plain_step

torchs_step = plain_step(torch.optim.AdamW)


class AdamW(torch.optim.AdamW):
    """torch's, whose fused kernel reads all that changes from tensors."""

    capturable = True

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        Args:
            closure: Computes the loss and the gradients; None: these are there.
        """
        return torchs_step(self, closure)


@register.optimizer
def adamw(
    params: Iterable[dict[str, Any]],
    *,
    lr: PositiveFloat = 1e-3,
    betas: Sequence[Fraction] = (0.9, 0.999),
    eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 1e-2,
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay.

    AdamW (Loshchilov and Hutter, 2019; arXiv:1711.05101), algorithm 2.

    Args:
        params: Groups of parameters; a group's own ``weight_decay`` stands.
        lr: Base learning rate, above 0.
        betas: Decay of the running means of the gradient and of its square, each from 0 to
            below 1.
        eps: Added to the root of the second, above 0.
        weight_decay: Decay, at least 0; each step takes ``lr * weight_decay`` of a parameter.

    Raises:
        ConfigError: A number is out of its range.

    Differs from the paper: the decay is multiplied by ``lr`` as well as by the schedule, as
    PyTorch does; the paper's decay is ``lr * weight_decay`` here.
    """
    check_settings(adamw, locals())
    check_betas(betas, count=2)
    return AdamW(
        params,
        lr=lr,
        betas=(betas[0], betas[1]),
        eps=eps,
        weight_decay=weight_decay,
        fused=True,
    )
