"""Deep Networks with Stochastic Depth (Huang et al., 2016; arXiv:1603.09382)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import BranchDraws, Per, Probability, Regularizer, Site, check_settings
from cifarzoo.zoo.regularizers.branch.depth import Decay, drop_prob


def drop_branch(x: Tensor, gate: Tensor) -> Tensor:
    """Keep or drop a branch, without rescaling what is kept.

    Args:
        x: Branch (N, C, H, W).
        gate: 1 keeps, 0 drops; broadcasts against ``x``.
    """
    return x * gate


class DroppedBranch(nn.Module):
    """Drops a branch at random in training and scales it by its chance to live in evaluation.

    Args:
        draws: Where gates come from.
        drop_prob: Probability that the branch is dropped.
        per: See ``stochastic_depth``.
    """

    def __init__(self, draws: BranchDraws, *, drop_prob: float, per: Per) -> None:
        super().__init__()
        self.drop_prob = drop_prob
        self.gate = draws.bernoulli(1 - drop_prob, per=per)

    def forward(self, x: Tensor) -> Tensor:
        """The branch (N, C, H, W), whole, dropped or scaled."""
        return drop_branch(x, self.gate(x)) if self.training else x * (1 - self.drop_prob)


@dataclass(frozen=True, kw_only=True)
class StochasticDepth(Regularizer):
    """Drops whole branches; see ``stochastic_depth``."""

    final_drop_prob: float
    decay: Decay
    per: Per

    def branch(self, site: Site) -> nn.Module:
        """The gate of a block's branch."""
        return DroppedBranch(
            site.draws, drop_prob=drop_prob(site, self.final_drop_prob, self.decay), per=self.per
        )


@register.regularizer
def stochastic_depth(
    *, final_drop_prob: Probability = 0.5, decay: Decay = "linear", per: Per = "batch"
) -> Regularizer:
    """Drop whole residual branches at random, deeper ones more often.

    Deep Networks with Stochastic Depth (Huang et al., 2016; arXiv:1603.09382). Block l of L
    loses its branch with probability ``final_drop_prob * l / L``. What is kept is
    not rescaled in training; in evaluation a branch is multiplied by its probability to be
    kept.

    Args:
        final_drop_prob: Probability that the last block's branch is dropped, 0 to 1.
        decay: ``linear`` with depth, or ``uniform``: the same for all blocks.
        per: Whether a whole batch drops a branch together, as in the paper, or each sample
            for itself.

    Raises:
        ConfigError: The probability isn't in [0, 1], or a word is unknown.

    Differs from the paper: dropped branches are computed and multiplied by 0, so that every
    step has one graph; it saves no time. Many later codes rescale in training instead.
    """
    check_settings(stochastic_depth, locals())
    return StochasticDepth(final_drop_prob=final_drop_prob, decay=decay, per=per)
