"""CutMix (Yun et al., 2019; arXiv:1905.04899)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Draws, PositiveFloat, Probability, Regularizer, check_settings
from cifarzoo.zoo.augmentations.operations.boxes import Boxes, inside
from cifarzoo.zoo.regularizers.batch.mixup import blend_targets


def centred_boxes(row: Tensor, column: Tensor, share: Tensor, *, height: int, width: int) -> Boxes:
    """Boxes of a share of the image around a pixel, cut off at the image's border.

    Args:
        row: Row of each centre, int64 (N,).
        column: Column of each centre, likewise.
        share: Share of the image's area that a whole box has (N,).
        height: H.
        width: W.
    """
    half = 0.5 * share.sqrt()
    half_height, half_width = (half * height).long(), (half * width).long()
    return Boxes(
        top=(row - half_height).clamp(min=0),
        bottom=(row + half_height).clamp(max=height),
        left=(column - half_width).clamp(min=0),
        right=(column + half_width).clamp(max=width),
    )


def paste(images: Tensor, targets: Tensor, partner: Tensor, boxes: Boxes) -> tuple[Tensor, Tensor]:
    """Paste each partner's box into the image, and mix the targets by area.

    Args:
        images: Batch (N, C, H, W), float.
        targets: Class probabilities (N, K).
        partner: Whose box each image gets, indices (N,).
        boxes: The boxes.

    Returns:
        A new batch of the same shapes; targets still sum to one.
    """
    height, width = images.shape[2:]
    pasted = torch.where(inside(boxes, height=height, width=width), images[partner], images)
    kept = 1 - boxes.area / (height * width)
    return pasted, blend_targets(targets, partner, kept)


@dataclass(frozen=True, kw_only=True)
class Cutmix(Regularizer):
    """``paste`` with random partners and boxes; see ``cutmix``."""

    alpha: float
    p: float
    per: Literal["batch", "sample"]

    def batch(self, images: Tensor, targets: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Mix the whole batch with a permutation of itself."""
        height, width = images.shape[2:]
        share = 1 - draws.beta(self.alpha, self.alpha, per=self.per)
        if self.p < 1:
            share = share * draws.bernoulli(self.p, per=self.per)
        row, column = draws.integers(height, per=self.per), draws.integers(width, per=self.per)
        boxes = centred_boxes(row, column, share, height=height, width=width)
        return paste(images, targets, draws.permutation(), boxes)


@register.regularizer
def cutmix(
    *,
    alpha: PositiveFloat = 1.0,
    p: Probability = 1.0,
    per: Literal["batch", "sample"] = "batch",
) -> Regularizer:
    """Paste a random box of one image into another and mix their targets by area.

    CutMix (Yun et al., 2019; arXiv:1905.04899), equations 1 and 2. The box's share of the image is
    1 less a number from Beta(alpha, alpha), its centre any pixel; what lies outside is cut off,
    and targets have the shares that are left. Partners are a random permutation of the global
    batch; a sample may be its own.

    Args:
        alpha: Parameter of the Beta distribution, above 0; the paper's 1 is uniform.
        p: Probability that there is a box; the authors' code has 0.5 for CIFAR.
        per: One box a ``batch``, as in the authors' code, or one a ``sample``.

    Raises:
        ConfigError: A number is out of its range, or there is no such ``per``.
    """
    check_settings(cutmix, locals())
    return Cutmix(alpha=alpha, p=p, per=per)
