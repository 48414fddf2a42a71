"""A plugin: the loss ``my_loss``."""

from __future__ import annotations

from functools import partial

from cifarzoo import register
from cifarzoo.protocols import Loss, PositiveFloat, check_settings
from torch import Tensor


def tempered(logits: Tensor, targets: Tensor, *, temperature: float) -> Tensor:
    """The cross-entropy of each image, its logits divided by a temperature.

    Args:
        logits: Logits (N, K).
        targets: Class probabilities (N, K).
        temperature: Divisor of the logits.

    Returns:
        One number an image (N,).
    """
    return -(targets * (logits / temperature).log_softmax(1)).sum(1)


@register.loss
def my_loss(*, temperature: PositiveFloat = 2.0) -> Loss:
    """The cross-entropy at a temperature.

    Args:
        temperature: Divisor of the logits, above 0; 1 gives the cross-entropy.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(my_loss, locals())
    return partial(tempered, temperature=temperature)
