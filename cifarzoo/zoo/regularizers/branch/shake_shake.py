"""Shake-Shake regularization (Gastaldi, 2017; arXiv:1705.07485).

Two residual paths are mixed with a random coefficient in the forward pass and with another
one in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import BranchDraw, BranchDraws, Per, Regularizer, Site, check_settings

Forward = Literal["shake", "even"]
Backward = Literal["shake", "even", "keep"]
Distribution = Literal["uniform", "ratio"]


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


class Ratio(nn.Module):
    """``u / (u + v)`` of two uniform numbers: a mean of 1/2 and a variance of 3/4 - ln 2.

    Args:
        draws: Where u and v come from.
        per: See ``shake_shake``.
    """

    def __init__(self, draws: BranchDraws, per: Per) -> None:
        super().__init__()
        self.u = draws.uniform(0, 1, per=per)
        self.v = draws.uniform(0, 1, per=per)

    def forward(self, x: Tensor) -> Tensor:
        """This step's numbers as (n, 1, 1, 1), in x's dtype, on x's device."""
        u, v = self.u(x), self.v(x)
        return u / (u + v).clamp_min(torch.finfo(u.dtype).tiny)  # both may be 0


DISTRIBUTIONS: Mapping[str, Callable[[BranchDraws, Per], BranchDraw]] = {
    "uniform": lambda draws, per: draws.uniform(0, 1, per=per),
    "ratio": Ratio,
}


class Shake(nn.Module):
    """Mixes two paths at random in training and evenly in evaluation.

    Args:
        draws: Where coefficients come from.
        forward: See ``shake_shake``.
        backward: See ``shake_shake``.
        per: See ``shake_shake``.
        distribution: See ``shake_shake``.
    """

    def __init__(
        self,
        draws: BranchDraws,
        *,
        forward: Forward,
        backward: Backward,
        per: Per,
        distribution: Distribution,
    ) -> None:
        super().__init__()
        draw = DISTRIBUTIONS[distribution]
        self.alpha = draw(draws, per) if forward == "shake" else None
        self.beta = draw(draws, per) if backward == "shake" else None
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
    distribution: Distribution

    num_paths = 2

    def branch(self, site: Site) -> nn.Module:
        """The mix of a block's two paths."""
        return Shake(
            site.draws,
            forward=self.forward,
            backward=self.backward,
            per=self.per,
            distribution=self.distribution,
        )


@register.regularizer
def shake_shake(
    *,
    forward: Forward = "shake",
    backward: Backward = "shake",
    per: Per = "sample",
    distribution: Distribution = "uniform",
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
        distribution: Distribution of alpha and beta: ``uniform``, or the ``ratio`` u / (u + v) of
            two uniform numbers, which is nearer to one half.

    Raises:
        ConfigError: A word is none of these, or a distribution is given of which nothing is drawn.

    Differs from the paper: ``ratio`` is what the code of AutoAugment (Cubuk et al., 2019;
    arXiv:1805.09501) has.
    """
    check_settings(shake_shake, locals())
    if distribution != "uniform" and "shake" not in (forward, backward):
        raise ConfigError(
            f"is {distribution!r}, but neither forward nor backward is 'shake'; expected 'uniform'",
            parameter="distribution",
        )
    return ShakeShake(forward=forward, backward=backward, per=per, distribution=distribution)
