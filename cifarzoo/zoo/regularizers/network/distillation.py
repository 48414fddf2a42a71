"""Distillation: learning from what another network says of each image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo import register
from cifarzoo.protocols import (
    Draws,
    Forward,
    Loss,
    Passed,
    PositiveFloat,
    Regularizer,
    check_settings,
)


def soft_target_loss(logits: Tensor, taught: Tensor, *, temperature: float) -> Tensor:
    """``T**2 KL(softmax(taught / T), softmax(logits / T))``, on average over the images.

    Args:
        logits: Logits (N, K) of the network that learns.
        taught: Logits (N, K) of its teacher.
        temperature: T.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    said, wanted = ((each.to(dtype) / temperature).log_softmax(1) for each in (logits, taught))
    apart = F.kl_div(said, wanted, reduction="batchmean", log_target=True)
    return temperature**2 * apart


@dataclass(kw_only=True)
class Distillation(Regularizer):
    """Learns from a teacher; see ``distillation``."""

    capturable: ClassVar[bool] = True
    teacher: str
    temperature: float
    weight: float
    _network: nn.Module | None = field(default=None, init=False, repr=False)

    def take_teacher(self, network: nn.Module) -> None:
        """See ``cifarzoo.protocols.SupportsTeacher``."""
        self._network = network

    def loss(self, loss: Loss) -> Loss:
        """The part that the labels have."""
        return lambda logits, targets: (1 - self.weight) * loss(logits, targets)

    def network(
        self,
        forward: Forward,
        images: Tensor,
        targets: Tensor,
        draws: Draws,  # noqa: ARG002
    ) -> Passed:
        """The pass, and the part of the loss that the teacher has."""
        if self._network is None:
            raise RuntimeError("take_teacher was not called before the first pass")
        with torch.no_grad():
            taught = self._network(images)
        logits, targets, penalty = forward(images, targets)
        with torch.autocast(images.device.type, enabled=False):
            soft = soft_target_loss(logits, taught, temperature=self.temperature)
        return logits, targets, penalty + self.weight * soft


@register.regularizer
def distillation(
    *,
    teacher: str,
    temperature: PositiveFloat = 4.0,
    weight: Annotated[float, Gt(0), Le(1)] = 0.9,
) -> Regularizer:
    """Learn from the network of a finished run, a teacher, beside the labels.

    Distilling the Knowledge in a Neural Network (Hinton et al., 2015; arXiv:1503.02531), section 2:
    the loss is ``(1 - weight) L + weight T**2 KL``, where L is the run's loss and KL the divergence
    of the softmax of the logits at the temperature T from the teacher's. The teacher sees the same
    images as the network, augmented and mixed. 4 and 0.9 are usual on CIFAR.

    Args:
        teacher: Path of the folder of a run that is done, on the same classes. Its last weights
            are taken, averaged ones if it averages; the folder has to be there until this run is
            done.
        temperature: T, above 0; the higher, the more the teacher's lesser classes count.
        weight: Share of the teacher in the loss, above 0, at most 1; 1: no labels.

    Raises:
        ConfigError: A number is out of its range.

    Differs from the paper: without the soft targets' entropy, which has no gradient.
    """
    check_settings(distillation, locals())
    return Distillation(teacher=teacher, temperature=temperature, weight=weight)
