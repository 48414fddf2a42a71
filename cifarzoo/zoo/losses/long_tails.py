"""Losses for classes of different sizes: weights, and adjusted logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import (
    Fraction,
    Loss,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    check_settings,
)


def effective_weights(counts: Sequence[int], beta: float) -> list[float]:
    """``(1 - beta) / (1 - beta**n)`` of each class, scaled to a mean of 1; equation 3.

    Args:
        counts: Training images of each class, n.
        beta: 0: all classes count alike; towards 1: by the inverse of their counts.
    """
    weights = [(1 - beta) / (1 - beta**count) for count in counts]
    return [weight * len(weights) / sum(weights) for weight in weights]


@dataclass(frozen=True)
class ClassWeighted:
    """Cross-entropy of images that count as their classes do (``Loss``, ``SupportsWeights``).

    Attributes:
        class_weights: Weight of each class.
    """

    class_weights: tuple[float, ...]

    def weights(self, targets: Tensor) -> Tensor:
        """The weight of each image (N,), of class probabilities (N, K)."""
        _check_classes("class_weights", self.class_weights, targets)
        return targets @ targets.new_tensor(self.class_weights)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of each image (N,)."""
        return F.cross_entropy(logits, targets, reduction="none")


@dataclass(frozen=True)
class LogitAdjusted:
    """Cross-entropy of logits plus ``offsets`` (``Loss``).

    Attributes:
        offsets: What is added to the logit of each class.
    """

    offsets: tuple[float, ...]

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of each image (N,)."""
        _check_classes("class_counts", self.offsets, targets)
        return F.cross_entropy(logits + logits.new_tensor(self.offsets), targets, reduction="none")


def _check_classes(parameter: str, numbers: Sequence[float], targets: Tensor) -> None:
    if len(numbers) != targets.shape[1]:
        raise ConfigError(
            f"has {len(numbers)} numbers; expected one for each of the {targets.shape[1]} classes",
            parameter=parameter,
        )


@register.loss
def class_weighted(
    *,
    class_weights: Sequence[NonNegativeFloat] | None = None,
    class_counts: Sequence[PositiveInt] | None = None,
    beta: Fraction = 0.999,
) -> Loss:
    """Cross-entropy in which the classes count differently.

    The mean over a batch is ``sum(w l) / sum(w)``. Weights are given, or follow from the classes'
    sizes: Class-Balanced Loss (Cui et al., 2019; arXiv:1901.05555), equation 3.

    Args:
        class_weights: Weight of each class, at least 0.
        class_counts: Training images of each class, in the place of weights.
        beta: Of weights that follow from counts: 0: all alike, towards 1: the inverse counts.

    Returns:
        The loss of logits (N, K) and class probabilities (N, K), one number an image.

    Raises:
        ConfigError: A number is out of its range, or there isn't one list.
    """
    check_settings(class_weighted, locals())
    if (class_weights is None) == (class_counts is None):
        raise ConfigError(
            f"is {class_weights and list(class_weights)}; expected weights, or class_counts",
            parameter="class_weights",
        )
    weights = class_weights or effective_weights(class_counts or [], beta)
    if not any(weights):
        raise ConfigError("is 0 for every class; expected one above", parameter="class_weights")
    return ClassWeighted(tuple(weights))


@register.loss
def logit_adjusted(*, class_counts: Sequence[PositiveInt], tau: PositiveFloat = 1.0) -> Loss:
    """Cross-entropy of logits to which the logarithms of the classes' shares are added.

    Long-tail learning via logit adjustment (Menon et al., 2021; arXiv:2007.07314), equation 10:
    trained so, the network's own logits are those of classes of one size.

    Args:
        class_counts: Training images of each class, at least 1.
        tau: Factor on the logarithms, above 0.

    Returns:
        The loss of logits (N, K) and class probabilities (N, K), one number an image.

    Raises:
        ConfigError: A number is out of its range.
    """
    check_settings(logit_adjusted, locals())
    if not class_counts:
        raise ConfigError("is empty; expected a count a class", parameter="class_counts")
    shares = torch.tensor(class_counts, dtype=torch.float64) / sum(class_counts)
    return LogitAdjusted(tuple((tau * shares.log()).tolist()))
