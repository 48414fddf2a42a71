"""Cross-entropy between class probabilities and what a network predicts."""

from __future__ import annotations

from torch.nn import functional as F

from cifarzoo import register
from cifarzoo.protocols import Loss


@register.loss
def cross_entropy() -> Loss:
    """The mean cross-entropy of a batch, in nats; the loss of a run that names none.

    ``-sum(targets * log_softmax(logits))``, on average over the images.

    Returns:
        The loss of logits (N, K) and class probabilities (N, K), one number.
    """
    return F.cross_entropy
