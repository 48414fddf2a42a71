"""Schedule-free training: an average in the place of a falling learning rate."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from cifarzoo import register
from cifarzoo.protocols import (
    Average,
    Fraction,
    NonNegativeFloat,
    Regularizer,
    Timestamp,
    check_settings,
)


class ScheduleFreeAverage:
    """What is evaluated, x, and what the optimizer moves, z; the network trains between them.

    ``cifarzoo.protocols.Average`` and ``Timed``.

    Args:
        model: The network in training, y.
        beta: Share of x in y.
        warmup_epochs: Epochs over which the weight of a step in x grows.

    Attributes:
        module: Network with the weights x.
        z: Parameters that the optimizer alone has moved.
        weight_sum: Weights of all steps so far.
    """

    recompute_statistics = True  # those that were tracked are of the weights y

    def __init__(self, model: nn.Module, *, beta: float, warmup_epochs: float) -> None:
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.z = [parameter.clone() for parameter in self.module.parameters()]
        self.weight_sum = 0.0
        self._beta = beta
        self._warmup_epochs = warmup_epochs
        self._moment = Timestamp(0, 1, 1)

    def begin_step(self, moment: Timestamp) -> None:
        """Note where training stands; the engine says it before every step."""
        self._moment = moment

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """After the optimizer has moved y: move z likewise, then x and y towards it."""
        weight = self._weight()
        self.weight_sum += weight
        share = weight / self.weight_sum if weight else 0.0
        for x, z, y in zip(self.module.parameters(), self.z, model.parameters(), strict=True):
            z.add_(y - torch.lerp(z, x, self._beta))
            x.lerp_(z, share)
            y.copy_(torch.lerp(z, x, self._beta))
        for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)

    def _weight(self) -> float:
        """The square of the learning rate's warm-up, as the authors' code has it."""
        if self._moment.epoch >= self._warmup_epochs:
            return 1.0
        return (self._moment.epoch / self._warmup_epochs) ** 2

    def state_dict(self) -> dict[str, Any]:
        """Both sets of weights and the sum."""
        state = {"module": self.module.state_dict(), "z": list(self.z)}
        return {**state, "weight_sum": self.weight_sum}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self.module.load_state_dict(state_dict["module"])
        for mine, theirs in zip(self.z, state_dict["z"], strict=True):
            mine.copy_(theirs)
        self.weight_sum = state_dict["weight_sum"]


@dataclass(frozen=True, kw_only=True)
class ScheduleFree(Regularizer):
    """Trains and evaluates by a ``ScheduleFreeAverage``; see ``schedule_free``."""

    beta: float
    warmup_epochs: float

    def average(self, model: nn.Module) -> Average:
        """Weights x and z that start as ``model``."""
        return ScheduleFreeAverage(model, beta=self.beta, warmup_epochs=self.warmup_epochs)


@register.regularizer
def schedule_free(*, beta: Fraction = 0.9, warmup_epochs: NonNegativeFloat = 0.0) -> Regularizer:
    """Train with any optimizer and no schedule: evaluate an average, and train near it.

    The Road Less Scheduled (Defazio et al., 2024; arXiv:2405.15682), equations 3 to 5: gradients
    are of ``y = (1 - beta) z + beta x``, the optimizer moves z, and x, which is evaluated, is the
    mean of all z so far. ``beta`` takes the place of momentum, so that the optimizer has none
    (``sgd.momentum = 0.0`` and ``sgd.nesterov = False``, or ``adamw.betas = (0.0, 0.999)``), and
    ``run.schedule = @constant``. The run can be ended at any time.

    Args:
        beta: Share of the average in what is trained, 0 to below 1.
        warmup_epochs: Warm-up of the schedule, if it has one: the steps in it count less in the
            average, by the square of their learning rates.

    Raises:
        ConfigError: A number is out of its range.

    Differs from the paper: weight decay is of y, as is the default in the authors' code; and
    BatchNorm's running statistics of x are computed from training images.
    """
    check_settings(schedule_free, locals())
    return ScheduleFree(beta=beta, warmup_epochs=warmup_epochs)
