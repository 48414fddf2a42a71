"""Shake-Shake regularization (Gastaldi, 2017; arXiv:1705.07485).

Two residual paths are mixed with a random coefficient in the forward pass and with another
one in the backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import BranchDraws, Per, Regularizer, Site
from cifarzoo.registry import register

Forward = Literal["shake", "even"]
Backward = Literal["shake", "even", "keep"]


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        ctx.save_for_backward(beta)
        return torch.lerp(b, a, alpha)  # one pass over memory, where a * alpha + ... makes three

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (beta,) = ctx.saved_tensors
        return beta * grad, (1 - beta) * grad, None, None


def mix(a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Mix two paths with ``alpha`` forward and ``beta`` backward.

    Args:
        a: First path (N, C, H, W).
        b: Second path, of the same shape.
        alpha: Weight of ``a`` in the output; broadcasts against it.
        beta: Weight of ``a`` in the gradient; broadcasts against it.

    Returns:
        ``alpha * a + (1 - alpha) * b``, with the gradient that ``beta`` would give.
    """
    mixed: Tensor = _Mix.apply(a, b, alpha, beta)
    return mixed


class Shake(nn.Module):
    """Mixes two paths at random in training and evenly in evaluation.

    Args:
        draws: Where coefficients come from.
        forward: See ``shake_shake``.
        backward: See ``shake_shake``.
        per: See ``shake_shake``.
    """

    def __init__(
        self, draws: BranchDraws, *, forward: Forward, backward: Backward, per: Per
    ) -> None:
        super().__init__()
        self.alpha = draws.uniform(0, 1, per=per) if forward == "shake" else None
        self.beta = draws.uniform(0, 1, per=per) if backward == "shake" else None
        self.keep = backward == "keep"

    def forward(self, paths: list[Tensor]) -> Tensor:
        """The two paths (N, C, H, W) as one."""
        a, b = paths
        if not self.training:
            return (a + b) * 0.5
        even = a.new_full((1, 1, 1, 1), 0.5)
        alpha = self.alpha(a) if self.alpha else even
        beta = self.beta(a) if self.beta else alpha if self.keep else even
        return mix(a, b, alpha, beta)


@dataclass(frozen=True, kw_only=True)
class ShakeShake(Regularizer):
    """Merges two paths; see ``shake_shake``."""

    forward: Forward
    backward: Backward
    per: Per

    num_paths = 2

    def branch(self, site: Site) -> nn.Module:
        """The mix of a block's two paths."""
        return Shake(site.draws, forward=self.forward, backward=self.backward, per=self.per)


@register.regularizer
def shake_shake(
    *, forward: Forward = "shake", backward: Backward = "shake", per: Per = "sample"
) -> Regularizer:
    """Give every block two residual paths and mix them at random.

    Shake-Shake regularization (Gastaldi, 2017; arXiv:1705.07485). In training the output is
    ``alpha * a + (1 - alpha) * b``, and gradients are as if ``beta`` had been in its place;
    both are uniform on [0, 1), anew for every block and step. In evaluation both paths count
    one half.

    Args:
        forward: ``shake`` draws alpha; ``even`` makes it one half.
        backward: ``shake`` draws beta; ``even`` makes it one half, ``keep`` alpha.
        per: Whether every sample (the paper's Image) or every batch gets numbers of its own.

    Raises:
        ConfigError: A word is none of these.
    """
    allowed = {
        "forward": (forward, get_args(Forward)),
        "backward": (backward, get_args(Backward)),
        "per": (per, get_args(Per)),
    }
    for parameter, (value, words) in allowed.items():
        if value not in words:
            expected = ", ".join(map(repr, words))
            raise ConfigError(f"is {value!r}; expected one of {expected}", parameter=parameter)
    return ShakeShake(forward=forward, backward=backward, per=per)
