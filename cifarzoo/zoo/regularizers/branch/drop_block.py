"""DropBlock (Ghiasi et al., 2018; arXiv:1810.12890)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.layers.dropout import Dropout
from cifarzoo.protocols import Fraction, Regularizer, Site, Timestamp, check_settings


def seed_prob(drop_prob: float, block_size: int, height: int, width: int) -> float:
    """The probability of a block's centre, by which ``drop_prob`` is dropped; equation 1.

    Args:
        drop_prob: Share of the activations to drop.
        block_size: Side of a block.
        height: H.
        width: W.
    """
    valid = (height - block_size + 1) * (width - block_size + 1)
    return drop_prob / block_size**2 * height * width / valid


def without_blocks(x: Tensor, seeds: Tensor, block_size: int) -> Tensor:
    """Features with a block around each seed at 0, and the rest of a sample as large on average.

    Args:
        x: Features (N, C, H, W).
        seeds: Centres of blocks, 1 or 0 (N, C, H, W); those whose block would lie across the border
            have none.
        block_size: Side of a block, odd.
    """
    margin = block_size // 2
    height, width = x.shape[2:]
    inner = F.pad(seeds[:, :, margin : height - margin, margin : width - margin], [margin] * 4)
    kept = 1 - F.max_pool2d(inner, block_size, stride=1, padding=margin)
    share = kept.mean((1, 2, 3), keepdim=True).clamp(min=1e-3)
    return x * (kept / share)


class BlockDropper(nn.Module):
    """Drops blocks of a residual branch in training.

    Args:
        drop_prob: Share of the activations that is dropped in the end.
        block_size: Side of a block.
        is_scheduled: Whether the share grows from 0 over the run.
    """

    def __init__(self, drop_prob: float, block_size: int, *, is_scheduled: bool) -> None:
        super().__init__()
        self.seeds = Dropout(drop_prob)
        self._drop_prob = drop_prob
        self._block_size = block_size
        self._is_scheduled = is_scheduled
        self._share = 0.0 if is_scheduled else 1.0

    @property
    def capturable(self) -> bool:
        """Whether steps may be captured, which hold the share as it is."""
        return not self._is_scheduled

    def begin_step(self, moment: Timestamp) -> None:
        """Bring the share to where training stands."""
        self._share = moment.progress if self._is_scheduled else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """The branch (N, C, H, W), without some blocks of it."""
        drop_prob = self._share * self._drop_prob
        if not self.training or drop_prob == 0:
            return x
        height, width = x.shape[2:]
        block_size = min(self._block_size, height - 1 + height % 2, width - 1 + width % 2)
        self.seeds.p = min(1.0, seed_prob(drop_prob, block_size, height, width))
        # What a dropout drops of ones are numbers that are alike on any number of ranks.
        seeds = (self.seeds(torch.ones_like(x)) == 0).to(x.dtype)
        return without_blocks(x, seeds, block_size)


@dataclass(frozen=True, kw_only=True)
class DropBlock(Regularizer):
    """Puts a ``BlockDropper`` on every branch; see ``drop_block``."""

    drop_prob: float
    block_size: int
    scheduled: bool

    def branch(self, site: Site) -> nn.Module:  # noqa: ARG002
        """The dropper of a block's branch."""
        return BlockDropper(self.drop_prob, self.block_size, is_scheduled=self.scheduled)


@register.regularizer
def drop_block(
    *,
    drop_prob: Fraction = 0.1,
    block_size: Annotated[int, Ge(1)] = 7,
    scheduled: bool = True,
) -> Regularizer:
    """Drop squares of features of residual branches, each channel by itself.

    DropBlock (Ghiasi et al., 2018; arXiv:1810.12890), algorithm 1, section 3.1; with ``scheduled``
    the share that is dropped grows linearly from 0.

    Args:
        drop_prob: Share of the activations that is dropped (at the end), 0 to below 1.
        block_size: Side of a block, odd; where the features are smaller it is theirs.
        scheduled: Whether the share grows from 0 over the run.

    Raises:
        ConfigError: A number is out of its range, or ``block_size`` is even.

    Differs from the paper: it acts on residual branches alone; what is kept is scaled
    by the share of each sample, not of the batch, so that it is the same on any number of ranks.
    """
    check_settings(drop_block, locals())
    if block_size % 2 == 0:
        raise ConfigError(f"is {block_size!r}; expected an odd number", parameter="block_size")
    return DropBlock(drop_prob=drop_prob, block_size=block_size, scheduled=scheduled)
