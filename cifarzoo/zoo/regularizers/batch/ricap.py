"""RICAP (Takahashi et al., 2018; arXiv:1811.09030)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Draws, PositiveFloat, Regularizer, check_settings


@dataclass(frozen=True, kw_only=True)
class Quarter:
    """One of the four parts of each new image, all (N,).

    Attributes:
        top: First row of the part.
        left: First column of the part.
        source: Whose pixels it has, indices.
        source_top: Row of the source that comes first.
        source_left: Column of the source that comes first.
        share: Share of the image's area that it has.
        is_here: Which pixels it has, bool (N, H, W).
    """

    top: Tensor
    left: Tensor
    source: Tensor
    source_top: Tensor
    source_left: Tensor
    share: Tensor
    is_here: Tensor


def patched(images: Tensor, targets: Tensor, quarters: list[Quarter]) -> tuple[Tensor, Tensor]:
    """Put each image together from its parts, and its target by their areas.

    Args:
        images: Batch (N, C, H, W), float.
        targets: Class probabilities (N, K).
        quarters: The parts, which cover each image once.

    Returns:
        A new batch of the same shapes; targets still sum to one.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device)[None, :, None]
    columns = torch.arange(width, device=images.device)[None, None, :]
    new, aims = torch.empty_like(images), torch.zeros_like(targets)
    by_pixel = images.permute(0, 2, 3, 1)
    for each in quarters:
        row = rows + (each.source_top - each.top)[:, None, None]
        column = columns + (each.source_left - each.left)[:, None, None]
        source = each.source[:, None, None]
        pixels = by_pixel[source, row.clamp(0, height - 1), column.clamp(0, width - 1)]
        new = torch.where(each.is_here[:, None], pixels.permute(0, 3, 1, 2), new)
        aims += each.share[:, None].to(targets.dtype) * targets[each.source]
    return new, aims


@dataclass(frozen=True, kw_only=True)
class Ricap(Regularizer):
    """``patched`` with random parts; see ``ricap``."""

    beta: float
    per: Literal["batch", "sample"]

    def batch(self, images: Tensor, targets: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Make the whole batch of parts of itself."""
        height, width = images.shape[2:]
        down = (height * draws.beta(self.beta, self.beta, per=self.per)).round().long()
        across = (width * draws.beta(self.beta, self.beta, per=self.per)).round().long()
        is_above = torch.arange(height, device=images.device) < down[:, None]
        is_left = torch.arange(width, device=images.device) < across[:, None]
        quarters = []
        for above in (True, False):
            for left in (True, False):
                tall = down if above else height - down
                wide = across if left else width - across
                here = (is_above == above)[:, :, None] & (is_left == left)[:, None, :]
                quarters.append(
                    Quarter(
                        top=down * (not above),
                        left=across * (not left),
                        source=draws.permutation(),
                        source_top=self._any(draws, height - tall),
                        source_left=self._any(draws, width - wide),
                        share=tall * wide / (height * width),
                        is_here=here,
                    )
                )
        return patched(images, targets, quarters)

    def _any(self, draws: Draws, last: Tensor) -> Tensor:
        """A number from 0 to ``last``, each as likely (N,)."""
        return (draws.uniform(0.0, 1.0, per=self.per) * (last + 1)).long()


@register.regularizer
def ricap(*, beta: PositiveFloat = 0.3, per: Literal["batch", "sample"] = "batch") -> Regularizer:
    """Make each image of random croppings of four, and its target by their areas.

    RICAP, random image cropping and patching (Takahashi et al., 2018; arXiv:1811.09030), section
    3.1. Four parts meet in a point that is drawn by two numbers from Beta(beta, beta); each is a
    random cropping of an image of the batch, in an order of its own.

    Args:
        beta: Parameter of the Beta distribution, above 0; the paper's 0.3 puts the point near
            the border mostly.
        per: One point and four places a ``batch``, as in the authors' code, or a ``sample``.

    Raises:
        ConfigError: ``beta`` isn't a positive number, or there is no such ``per``.
    """
    check_settings(ricap, locals())
    return Ricap(beta=beta, per=per)
