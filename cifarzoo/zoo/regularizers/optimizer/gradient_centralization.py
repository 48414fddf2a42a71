"""Gradient centralization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Regularizer, check_settings
from cifarzoo.zoo.regularizers.optimizer.wrapping import Closure, Wrapped, gradients


def centred(gradient: Tensor) -> Tensor:
    """A gradient (O, ...) less its mean over all but the outputs, equation 1."""
    return gradient - gradient.mean(dim=tuple(range(1, gradient.ndim)), keepdim=True)


class Centralized(Wrapped):
    """Steps by centred gradients.

    Args:
        inner: The optimizer that steps.
        kernels_only: Whether matrices, such as a classifier's, are left alone.
    """

    def __init__(self, inner: Any, *, kernels_only: bool) -> None:
        super().__init__(inner)
        self._least_ndim = 3 if kernels_only else 2

    def step(self, closure: Closure | None = None) -> Any:
        """One update.

        Args:
            closure: Computes the loss and the gradients; None: these are there.
        """
        if closure is None:
            self._centre()
            return self.inner.step()
        return self.inner.step(self._centring(closure))

    def _centring(self, closure: Closure) -> Callable[[], Tensor]:
        def evaluate() -> Tensor:
            loss = closure()
            self._centre()
            return loss

        return evaluate

    @torch.no_grad()
    def _centre(self) -> None:
        for gradient in gradients(self.parameters()):
            if gradient.ndim >= self._least_ndim:
                gradient.copy_(centred(gradient))


@dataclass(frozen=True, kw_only=True)
class GradientCentralization(Regularizer):
    """Wraps the optimizer in ``Centralized``; see ``gradient_centralization``."""

    kernels_only: bool

    def optimizer(self, optimizer: torch.optim.Optimizer) -> Any:
        """``optimizer``, by centred gradients."""
        return Centralized(optimizer, kernels_only=self.kernels_only)


@register.regularizer
def gradient_centralization(*, kernels_only: bool = False) -> Regularizer:
    """Take the mean off the gradient of each output's weights.

    Gradient Centralization (Yong et al., 2020; arXiv:2004.01461), equation 1.

    Args:
        kernels_only: Whether only convolutions' gradients are centred, and no matrix's.

    Differs from the paper: weight decay that the optimizer adds to the gradient isn't centred, as
    in the authors' code.
    """
    check_settings(gradient_centralization, locals())
    return GradientCentralization(kernels_only=kernels_only)
