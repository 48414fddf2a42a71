"""How the probability to drop a residual branch grows with a block's depth."""

from __future__ import annotations

from typing import Literal

from cifarzoo.errors import ConfigError
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


def check(final_drop_prob: float, decay: str, per: str) -> None:
    """Refuse settings that mean nothing.

    Raises:
        ConfigError: The probability isn't in [0, 1], or a word is unknown.
    """
    if not 0 <= final_drop_prob <= 1:
        raise ConfigError(f"is {final_drop_prob!r}; expected 0 to 1", parameter="final_drop_prob")
    if decay not in ("linear", "uniform"):
        raise ConfigError(f"is {decay!r}; expected 'linear' or 'uniform'", parameter="decay")
    if per not in ("sample", "batch"):
        raise ConfigError(f"is {per!r}; expected 'sample' or 'batch'", parameter="per")
