"""Focal loss."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import Loss, NonNegativeFloat, check_settings


def focal_of(logits: Tensor, targets: Tensor, *, gamma: float) -> Tensor:
    """``-sum(targets * (1 - p)**gamma * log p)`` of each image, equation 4 over all classes.

    Args:
        logits: Logits (N, K).
        targets: Class probabilities (N, K).
        gamma: The focusing parameter.

    Returns:
        One number an image (N,).
    """
    log_p = logits.log_softmax(1)
    modulated = targets * (1 - log_p.exp()).clamp(min=0) ** gamma * log_p
    return -modulated.sum(1)


@register.loss
def focal(*, gamma: NonNegativeFloat = 2.0) -> Loss:
    """Cross-entropy that counts well-classified images less.

    Focal Loss (Lin et al., 2017; arXiv:1708.02002), equation 4, of a softmax over the classes.

    Args:
        gamma: The focusing parameter, at least 0; 0 is the cross-entropy, 2 the paper's.

    Returns:
        The loss of logits (N, K) and class probabilities (N, K), one number an image.

    Raises:
        ConfigError: ``gamma`` is out of its range.

    Differs from the paper: a softmax in the place of a sigmoid, and no alpha.
    """
    check_settings(focal, locals())
    return partial(focal_of, gamma=gamma)
