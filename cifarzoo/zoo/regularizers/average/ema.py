"""Exponential moving average of the weights (Polyak and Juditsky, 1992, for the idea)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cifarzoo import register
from cifarzoo.protocols import Average, Fraction, Regularizer, check_settings


class MovingAverage:
    """A copy of a model whose weights follow it (``cifarzoo.protocols.Average``).

    Unlike ``torch.optim.swa_utils.AveragedModel`` its decay can warm up without a device
    synchronisation a step, and it copies integer buffers instead of averaging them.

    Args:
        model: What is followed.
        decay: Decay of the average, once warm.
        warmup: Whether the decay rises from 0 first; see ``ema``.
    """

    recompute_statistics = False  # they are averaged too

    def __init__(self, model: nn.Module, *, decay: float, warmup: bool) -> None:
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.num_updates = 0
        self._decay = decay
        self._warmup = warmup

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take in the model's parameters and buffers after an optimizer step."""
        pairs = list(zip(_tensors(self.module), _tensors(model), strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        for average, current in pairs:
            if not average.is_floating_point():
                average.copy_(current)
        if floats:
            blend = get_ema_multi_avg_fn(self._decay_now())  # type: ignore[no-untyped-call]  # torch's
            averages, currents = (list(tensors) for tensors in zip(*floats, strict=True))
            blend(averages, currents, self.num_updates)
        self.num_updates += 1

    def state_dict(self) -> dict[str, Any]:
        """The averaged model and the number of updates."""
        return {"module": self.module.state_dict(), "num_updates": self.num_updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self.module.load_state_dict(state_dict["module"])
        self.num_updates = state_dict["num_updates"]

    def _decay_now(self) -> float:
        if self.num_updates == 0:
            return 0.0
        if not self._warmup:
            return self._decay
        return min(self._decay, (1 + self.num_updates) / (10 + self.num_updates))


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    return chain(model.parameters(), model.buffers())


@dataclass(frozen=True, kw_only=True)
class Ema(Regularizer):
    """Evaluates a ``MovingAverage``; see ``ema``."""

    decay: float
    warmup: bool

    def average(self, model: nn.Module) -> Average:
        """An average that starts as ``model``."""
        return MovingAverage(model, decay=self.decay, warmup=self.warmup)


@register.regularizer
def ema(*, decay: Fraction = 0.999, warmup: bool = True) -> Regularizer:
    """Evaluate an exponential moving average of the weights.

    After every optimizer step ``average = decay * average + (1 - decay) * weights``, for
    parameters and for buffers such as BatchNorm's running statistics. The first step is taken
    over whole, so that the initial weights leave no trace.

    Args:
        decay: Share of the old average that a step keeps, 0 to below 1.
        warmup: Whether step n (from 1) keeps at most ``n / (n + 9)``, so that a short run
            averages over its last tenth; of no account once ``n > 9 * decay / (1 - decay)``.

    Raises:
        ConfigError: ``decay`` is out of range.
    """
    check_settings(ema, locals())
    return Ema(decay=decay, warmup=warmup)
