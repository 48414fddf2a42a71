"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Fraction, NonNegativeFloat, PositiveFloat, check_settings
from cifarzoo.zoo.optimizers.stepping import evaluated, plain_step

torchs_step = plain_step(torch.optim.SGD)


class SGD(torch.optim.SGD):
    """torch's fused SGD, for parameters too whose first gradient comes after that of others.

    torch's kernel wants all momenta of a group or none.
    """

    capturable = True

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        Args:
            closure: Computes the loss and the gradients; None: these are there.
        """
        loss = evaluated(closure)
        if 0 < len(self.state) < sum(len(group["params"]) for group in self.param_groups):
            for group in self.param_groups:
                self._begin_late(group)
        torchs_step(self)
        return loss

    def _begin_late(self, group: dict[str, Any]) -> None:
        """Where some of a group have a momentum, begin those that have none at 0.

        The step makes it the gradient, to the bit, as a first step does; one that is skipped, as
        float16's may be, leaves it at 0.
        """
        moved = [p for p in group["params"] if p.grad is not None]
        late = [p for p in moved if not self.state.get(p)]
        if group["momentum"] and len(late) < len(moved):
            for parameter in late:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


class ClippedSGD(SGD):
    """SGD on a gradient that is clipped with the weight decay in it.

    Args:
        groups: Groups of parameters.
        clip_norm: Largest norm of gradient and decay together.
        **settings: Of ``torch.optim.SGD``.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], *, clip_norm: float, **settings: Any
    ) -> None:
        super().__init__(groups, **settings)
        self._clip_norm = clip_norm

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient, which becomes the clipped one.

        Args:
            closure: Computes the loss and the gradients; None: these are there.
        """
        loss = evaluated(closure)
        decays = [group["weight_decay"] for group in self.param_groups]
        parameters = [p for group in self.param_groups for p in group["params"]]
        try:
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.add_(parameter, alpha=group["weight_decay"])
                group["weight_decay"] = 0.0  # it is in the gradient
            clip_grad_norm_(parameters, self._clip_norm)
            super().step()
        finally:
            for group, decay in zip(self.param_groups, decays, strict=True):
                group["weight_decay"] = decay
        return loss


@register.optimizer
def sgd(
    params: Iterable[dict[str, Any]],
    *,
    lr: PositiveFloat = 0.1,
    momentum: Fraction = 0.9,
    nesterov: bool = True,
    weight_decay: NonNegativeFloat = 5e-4,
    clip_norm: PositiveFloat | None = None,
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
        weight_decay: Decay, at least 0.
        clip_norm: Largest norm of the whole gradient with the decay in it, as where a penalty
            is part of the loss; None: it isn't clipped. ``run.clip_norm`` clips without it.

    Raises:
        ConfigError: A number is out of its range, or ``nesterov`` has no momentum to use.

    Differs from the paper: the learning rate multiplies the whole update, so a drop acts on
    the momentum gathered before it too.
    """
    check_settings(sgd, locals())
    if nesterov and momentum == 0:
        raise ConfigError("is True; expected False where momentum is 0", parameter="nesterov")
    settings: dict[str, Any] = {
        "lr": lr,
        "momentum": momentum,
        "nesterov": nesterov,
        "weight_decay": weight_decay,
        "fused": True,
    }
    if clip_norm is None:
        return SGD(params, **settings)
    return ClippedSGD(params, clip_norm=clip_norm, **settings)
