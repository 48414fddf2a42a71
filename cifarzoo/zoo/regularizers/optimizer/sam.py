"""Sharpness-aware minimisation, plain and adaptive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import NonNegativeFloat, PositiveFloat, Regularizer, check_settings
from cifarzoo.zoo.regularizers.optimizer.wrapping import Closure, Wrapped, gradients

LEAST_NORM = 1e-12  # below it there is no direction to climb in


def ascent(weights: list[nn.Parameter], *, rho: float, eta: float | None) -> list[Tensor]:
    """How far each parameter climbs: equation 2 of SAM, or equation 5 of ASAM.

    Args:
        weights: Parameters with gradients.
        rho: Length of the climb, in the norm that is used.
        eta: Added to the sizes by which ASAM scales its norm; None: SAM's plain one.

    Returns:
        ``rho * g / |g|``, or ``rho * T**2 g / |T g|`` where T is ``|w| + eta`` for kernels and
        matrices and 1 for the rest.
    """
    grads = gradients(weights)
    if eta is None:
        scale = rho / (nn.utils.get_total_norm(grads) + LEAST_NORM)
        return [scale * grad for grad in grads]
    sizes = [w.abs() + eta if w.ndim > 1 else torch.ones_like(w) for w in weights]
    scaled = [size * grad for size, grad in zip(sizes, grads, strict=True)]
    scale = rho / (nn.utils.get_total_norm(scaled) + LEAST_NORM)
    return [scale * size * each for size, each in zip(sizes, scaled, strict=True)]


class Sharpness(Wrapped):
    """Climbs, takes the gradient there, goes back and steps by it.

    Args:
        inner: The optimizer that steps.
        rho: Length of the climb.
        eta: ASAM's, or None.
    """

    def __init__(self, inner: Any, *, rho: float, eta: float | None) -> None:
        super().__init__(inner)
        self._rho = rho
        self._eta = eta

    def step(self, closure: Closure) -> Tensor:
        """One update of two passes.

        Args:
            closure: Computes the loss and the gradients.
        """
        loss = closure()
        weights = self.parameters()
        with torch.no_grad():
            before = [weight.clone() for weight in weights]
            for weight, climb in zip(
                weights, ascent(weights, rho=self._rho, eta=self._eta), strict=True
            ):
                weight.add_(climb)
        closure()
        with torch.no_grad():
            for weight, old in zip(weights, before, strict=True):
                weight.copy_(old)  # to the bit, which a subtraction isn't
        self.inner.step()
        return loss


@dataclass(frozen=True, kw_only=True)
class Sam(Regularizer):
    """Wraps the optimizer in ``Sharpness``; see ``sam`` and ``asam``."""

    rho: float
    eta: float | None

    def optimizer(self, optimizer: torch.optim.Optimizer) -> Any:
        """``optimizer``, by gradients a little uphill."""
        return Sharpness(optimizer, rho=self.rho, eta=self.eta)


@register.regularizer
def sam(*, rho: PositiveFloat = 0.05) -> Regularizer:
    """Step by the gradient a little uphill, so that flat minima are found; two passes a step.

    Sharpness-Aware Minimization (Foret et al., 2021; arXiv:2010.01412), algorithm 1. The paper has
    ``rho`` 0.05 for CIFAR-10 and 0.1 for CIFAR-100.

    Args:
        rho: Length of the climb, above 0.

    Raises:
        ConfigError: ``rho`` is out of its range.

    Differs from the paper: it climbs along the gradient of the whole batch on any number of
    devices, where the authors climb on each device along its own. Not with float16, whose
    losses are scaled.
    """
    check_settings(sam, locals())
    return Sam(rho=rho, eta=None)


@register.regularizer
def asam(*, rho: PositiveFloat = 0.5, eta: NonNegativeFloat = 0.01) -> Regularizer:
    """SAM in a norm that scales with the weights.

    ASAM (Kwon et al., 2021; arXiv:2102.11600), algorithm 1, element by element. The paper has
    ``rho`` 0.5 for CIFAR-10 and 1 for CIFAR-100.

    Args:
        rho: Length of the climb, above 0, in units of the weights.
        eta: Added to each weight's size, at least 0.

    Raises:
        ConfigError: A number is out of its range.

    Differs from the paper: as in ``sam``; and norms' scales are left as biases are.
    """
    check_settings(asam, locals())
    return Sam(rho=rho, eta=eta)
