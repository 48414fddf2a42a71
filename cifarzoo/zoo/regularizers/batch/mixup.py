"""mixup (Zhang et al., 2018; arXiv:1710.09412)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Draws, PositiveFloat, Regularizer, check_settings


def mix(images: Tensor, targets: Tensor, partner: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
    """``lam`` of each sample plus ``1 - lam`` of its partner (the paper's equation in section 2).

    Args:
        images: Batch (N, C, H, W), float.
        targets: Class probabilities (N, K).
        partner: Whom each sample is mixed with, indices (N,).
        lam: Share of the sample itself (N,), 0 to 1.

    Returns:
        A new batch of the same shapes; targets still sum to one.
    """
    of_image = lam[:, None, None, None].to(images.dtype)
    mixed = of_image * images + (1 - of_image) * images[partner]
    return mixed, blend_targets(targets, partner, lam)


def blend_targets(targets: Tensor, partner: Tensor, kept: Tensor) -> Tensor:
    """``kept`` of each target plus ``1 - kept`` of its partner's.

    Args:
        targets: Class probabilities (N, K).
        partner: Whose target each is mixed with, indices (N,).
        kept: Share of the target itself (N,), 0 to 1.
    """
    kept = kept[:, None].to(targets.dtype)
    return kept * targets + (1 - kept) * targets[partner]


@dataclass(frozen=True, kw_only=True)
class Mixup(Regularizer):
    """``mix`` with random partners and shares; see ``mixup``."""

    alpha: float
    per: Literal["batch", "sample"]

    def batch(self, images: Tensor, targets: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Mix the whole batch with a permutation of itself."""
        lam = draws.beta(self.alpha, self.alpha, per=self.per)
        return mix(images, targets, draws.permutation(), lam)


@register.regularizer
def mixup(*, alpha: PositiveFloat = 0.2, per: Literal["batch", "sample"] = "batch") -> Regularizer:
    """Train on weighted means of pairs of images and of their targets.

    mixup (Zhang et al., 2018; arXiv:1710.09412), figure 1. Partners are a random permutation
    of the global batch; a sample may be its own.

    Args:
        alpha: The weight is drawn from Beta(alpha, alpha); above 0. The paper has 1 for CIFAR
            and 0.2 for ImageNet.
        per: One weight a ``batch``, as the paper's code has it, or one a ``sample``.

    Raises:
        ConfigError: ``alpha`` isn't a positive number, or there is no such ``per``.
    """
    check_settings(mixup, locals())
    return Mixup(alpha=alpha, per=per)
