"""ShakeDrop regularization (Yamada et al., 2019; arXiv:1802.02375).

A residual branch is scaled by a random factor that is 1 with the probability to keep the
branch, and by another one in the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.layers.noise import Noise, Place
from cifarzoo.protocols import (
    BranchDraw,
    BranchDraws,
    FiniteFloat,
    Per,
    Probability,
    Regularizer,
    Site,
    check_settings,
    in_order,
)
from cifarzoo.zoo.regularizers.branch.depth import Decay, drop_prob

Level = Literal["batch", "sample", "channel", "pixel"]


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, forward_factor: Tensor, backward_factor: Tensor) -> Tensor:
        ctx.save_for_backward(backward_factor)
        return x * forward_factor

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (backward_factor,) = ctx.saved_tensors
        return grad * backward_factor, None, None


def shake_or_keep(x: Tensor, gate: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Scale a branch by ``gate + alpha - gate * alpha``.

    Args:
        x: Branch (N, C, H, W).
        gate: 1 keeps the branch as it is, 0 shakes it; broadcasts against ``x``.
        alpha: Factor of a shaken branch; broadcasts against ``x``.
        beta: The same in the backward pass.

    Returns:
        The scaled branch, with the gradient that ``beta`` in place of ``alpha`` would give.
    """
    scaled: Tensor = _Scale.apply(x, gate + alpha - gate * alpha, gate + beta - gate * beta)
    return scaled


class FinerDraw(nn.Module):
    """A uniform number for each channel, or each pixel, of each sample.

    Args:
        ends: Range of the numbers.
        place: Whether a channel has one, or a pixel.
    """

    def __init__(self, ends: Sequence[float], place: Place) -> None:
        super().__init__()
        self.noise = Noise()
        self._low, self._high = ends
        self._place = place

    def forward(self, x: Tensor) -> Tensor:
        """The numbers for x (N, C, H, W), which broadcast against it."""
        return self._low + (self._high - self._low) * self.noise.numbers(x, self._place)


class ShakeDropBranch(nn.Module):
    """Shakes a branch at random in training and scales it by the mean factor in evaluation.

    Args:
        draws: Where gates and factors come from.
        drop_prob: Probability that the branch is shaken.
        alpha: Range of the forward factor.
        beta: Range of the backward factor.
        per: See ``shake_drop``.
    """

    def __init__(
        self,
        draws: BranchDraws,
        *,
        drop_prob: float,
        alpha: Sequence[float],
        beta: Sequence[float],
        per: Level,
    ) -> None:
        super().__init__()
        of_rows: Per = "batch" if per == "batch" else "sample"
        self.gate = draws.bernoulli(1 - drop_prob, per=of_rows)
        self.alpha: BranchDraw
        self.beta: BranchDraw
        if per == "channel" or per == "pixel":  # noqa: PLR1714  # so that mypy knows the words
            self.alpha, self.beta = FinerDraw(alpha, per), FinerDraw(beta, per)
        else:
            self.alpha = draws.uniform(*alpha, per=of_rows)
            self.beta = draws.uniform(*beta, per=of_rows)
        self.mean_factor = 1 - drop_prob + drop_prob * sum(alpha) / 2

    def forward(self, x: Tensor) -> Tensor:
        """The branch (N, C, H, W), scaled."""
        if not self.training:
            return x * self.mean_factor
        return shake_or_keep(x, self.gate(x), self.alpha(x), self.beta(x))


@dataclass(frozen=True, kw_only=True)
class ShakeDrop(Regularizer):
    """Shakes or keeps each branch; see ``shake_drop``."""

    final_drop_prob: float
    decay: Decay
    alpha: Sequence[float]
    beta: Sequence[float]
    per: Level

    needs_final_norm = True

    def branch(self, site: Site) -> nn.Module:
        """The factor of a block's branch."""
        return ShakeDropBranch(
            site.draws,
            drop_prob=drop_prob(site, self.final_drop_prob, self.decay),
            alpha=self.alpha,
            beta=self.beta,
            per=self.per,
        )


@register.regularizer
def shake_drop(
    *,
    final_drop_prob: Probability = 0.5,
    decay: Decay = "linear",
    alpha: Sequence[FiniteFloat] = (-1.0, 1.0),
    beta: Sequence[FiniteFloat] = (0.0, 1.0),
    per: Level = "sample",
) -> Regularizer:
    """Scale residual branches by random factors, deeper ones more often.

    ShakeDrop regularization (Yamada et al., 2019; arXiv:1802.02375). A branch is
    kept with the probability ``1 - final_drop_prob * l / L`` of block l of L; otherwise its
    output is scaled by alpha and its gradient by beta. In evaluation it is scaled by the mean
    of the forward factor. Branches have to end in a norm.

    Args:
        final_drop_prob: Probability that the last block's branch is shaken, 0 to 1.
        decay: ``linear`` with depth, or ``uniform``: the same for all blocks.
        alpha: Lower and upper end of the uniform forward factor.
        beta: Lower and upper end of the uniform backward factor.
        per: Whether every batch, sample, channel or pixel gets factors of its own (the paper's
            table 2); with the last two it is still whole samples that are kept or shaken.

    Raises:
        ConfigError: The probability isn't in [0, 1], or a range isn't two numbers in order.
    """
    check_settings(shake_drop, locals())
    return ShakeDrop(
        final_drop_prob=final_drop_prob,
        decay=decay,
        alpha=in_order("alpha", alpha),
        beta=in_order("beta", beta),
        per=per,
    )
