"""Label smoothing (Szegedy et al., 2016; arXiv:1512.00567)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Fraction, Loss, Regularizer, check_settings


def smooth(targets: Tensor, smoothing: float) -> Tensor:
    """``(1 - smoothing) * targets + smoothing / K``.

    Args:
        targets: Class probabilities (N, K).
        smoothing: Share that is spread evenly over all K classes.

    Returns:
        Class probabilities (N, K).
    """
    return targets * (1 - smoothing) + smoothing / targets.shape[1]


@dataclass(frozen=True)
class LabelSmoothing(Regularizer):
    """The loss of smoothed targets; see ``label_smoothing``."""

    smoothing: float

    def loss(self, loss: Loss) -> Loss:
        """``loss`` of the logits and the smoothed targets, an image or a batch as it has it."""
        return lambda logits, targets: loss(logits, smooth(targets, self.smoothing))


@register.regularizer
def label_smoothing(*, smoothing: Fraction = 0.1) -> Regularizer:
    """Give a share of each target to all classes evenly, in the training loss.

    Label smoothing (Szegedy et al., 2016; arXiv:1512.00567), section 7.

    Args:
        smoothing: The share, 0 to below 1; the true class keeps ``1 - smoothing`` and its
            part of the share.

    Raises:
        ConfigError: ``smoothing`` is out of range.
    """
    check_settings(label_smoothing, locals())
    return LabelSmoothing(smoothing)
