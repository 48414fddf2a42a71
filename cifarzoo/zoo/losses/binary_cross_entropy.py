"""Binary cross-entropy: each class by itself."""

from __future__ import annotations

from functools import partial

from torch import Tensor
from torch.nn import functional as F

from cifarzoo import register
from cifarzoo.protocols import Fraction, Loss, check_settings


def binary_of(
    logits: Tensor, targets: Tensor, *, threshold: float | None, sum_classes: bool
) -> Tensor:
    """The binary cross-entropy of each image, over its classes.

    Args:
        logits: Logits (N, K).
        targets: Class probabilities (N, K).
        threshold: Probability above which a class is meant; None: as much as its probability.
        sum_classes: Whether classes are summed, and not averaged.

    Returns:
        One number an image (N,).
    """
    if threshold is not None:
        targets = (targets > threshold).to(targets.dtype)
    each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return each.sum(1) if sum_classes else each.mean(1)


@register.loss
def binary_cross_entropy(*, threshold: Fraction | None = None, sum_classes: bool = False) -> Loss:
    """Ask of each class by itself whether the image shows it.

    ResNet strikes back (Wightman et al., 2021; arXiv:2110.00476), section 2: with mixup and CutMix
    an image shows two classes at once. As timm has it.

    Args:
        threshold: Probability of a mixed target above which its class is meant, 0 to below 1; the
            paper has 0.2 in one recipe. None: targets are the probabilities.
        sum_classes: Whether an image's loss is the sum over the classes, and not their mean.

    Returns:
        The loss of logits (N, K) and class probabilities (N, K), one number an image.

    Raises:
        ConfigError: ``threshold`` is out of its range.
    """
    check_settings(binary_cross_entropy, locals())
    return partial(binary_of, threshold=threshold, sum_classes=sum_classes)
