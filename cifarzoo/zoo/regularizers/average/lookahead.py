"""Lookahead: slow weights that follow the trained ones, which now and then go back to them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import (
    Average,
    Fraction,
    NonNegativeFloat,
    PositiveInt,
    Regularizer,
    Timestamp,
    check_settings,
)


class SlowWeights:
    """A copy of a model that it is drawn back to (``cifarzoo.protocols.Average`` and ``Timed``).

    Args:
        model: What is trained.
        steps: Optimizer steps from one exchange to the next.
        retention: Share of the slow weights that the last exchange would keep.
        power: Power of the progress, by which that share grows from 0.
    """

    recompute_statistics = False  # they are averaged too

    def __init__(self, model: nn.Module, *, steps: int, retention: float, power: float) -> None:
        self.module = copy.deepcopy(model).requires_grad_(False)
        self._steps = steps
        self._retention = retention
        self._power = power
        self._moment = Timestamp(0, 1, 1)

    def begin_step(self, moment: Timestamp) -> None:
        """Note where training stands; the engine says it before every step."""
        self._moment = moment

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """After every ``steps``-th step, blend the model into the slow weights and go back."""
        done = self._moment.step + 1
        if done % self._steps:
            return
        kept = self._retention * (done / self._moment.total_steps) ** self._power
        for slow, fast in zip(_tensors(self.module), _tensors(model), strict=True):
            if slow.is_floating_point():
                slow.lerp_(fast, 1 - kept)
                fast.copy_(slow)
            else:
                slow.copy_(fast)

    def state_dict(self) -> dict[str, Any]:
        """The slow weights."""
        return {"module": self.module.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self.module.load_state_dict(state_dict["module"])


def _tensors(model: nn.Module) -> list[Tensor]:
    return list(chain(model.parameters(), model.buffers()))


@dataclass(frozen=True, kw_only=True)
class Lookahead(Regularizer):
    """Trains towards and evaluates ``SlowWeights``; see ``lookahead``."""

    steps: int
    retention: float
    power: float

    def average(self, model: nn.Module) -> Average:
        """Slow weights that start as ``model``."""
        return SlowWeights(model, steps=self.steps, retention=self.retention, power=self.power)


@register.regularizer
def lookahead(
    *, steps: PositiveInt = 5, retention: Fraction = 0.7737809375, power: NonNegativeFloat = 3.0
) -> Regularizer:
    """Draw the weights back to a slow average of theirs every few steps, and evaluate it.

    Lookahead Optimizer (Zhang et al., 2019; arXiv:1907.08610), algorithm 1, with the growing
    share of Jordan (2024; arXiv:2404.00498), section 3.4: after every ``steps`` steps
    ``slow = kept * slow + (1 - kept) * weights``, then ``weights = slow``, with
    ``kept = retention * progress**power``. Acts on parameters and on buffers such as
    BatchNorm's running statistics.

    Args:
        steps: Optimizer steps from one exchange to the next, at least 1.
        retention: Share of the slow weights that is kept at the end of the run, 0 to below 1;
            the default is 0.95**5.
        power: How slowly that share grows, at least 0; 0: it is constant, as in Zhang et al.,
            who have ``steps`` 5 and ``retention`` 0.5.

    Raises:
        ConfigError: A number is out of its range.

    Differs from the paper: Jordan evaluates the trained weights, which the last step sets to
    the slow ones; here the slow weights are evaluated all along.
    """
    check_settings(lookahead, locals())
    return Lookahead(steps=steps, retention=retention, power=power)
