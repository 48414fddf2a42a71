"""How the probability to drop a residual branch grows with a block's depth."""

from __future__ import annotations

from typing import Literal

from cifarzoo.protocols import Site

Decay = Literal["linear", "uniform"]


def drop_prob(site: Site, final_drop_prob: float, decay: Decay) -> float:
    """The probability to drop the branch of a block.

    Args:
        site: Block l of L.
        final_drop_prob: Drop probability of the last block.
        decay: ``linear``: ``final_drop_prob * l / L`` (Huang et al., 2016; arXiv:1603.09382);
            ``uniform``: the same for all blocks.
    """
    return final_drop_prob * (site.index / site.total if decay == "linear" else 1.0)
