"""A step that passes over its batch twice: the first pass counts, and both see the same."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from cifarzoo.engine.runner import execute
from cifarzoo.protocols import Regularizer, Residual
from cifarzoo.zoo.regularizers.average.ema import ema
from cifarzoo.zoo.regularizers.batch.mixup import mixup
from cifarzoo.zoo.regularizers.branch.shake_drop import shake_drop
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake
from tests.engine.test_ranks import on_ranks
from tests.tiny import TinyNet, tiny_task


class Climbing:
    """Takes the gradient where the weights went ``rho`` times a first gradient."""

    def __init__(self, optimizer: torch.optim.Optimizer, rho: float) -> None:
        self._inner = optimizer
        self._rho = rho

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def step(self, closure: Any) -> Any:
        loss = closure()
        groups = self._inner.param_groups
        parameters = [p for g in groups for p in g["params"] if p.grad is not None]
        before = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(parameter.grad, alpha=self._rho)
        closure()
        with torch.no_grad():
            for parameter, old in zip(parameters, before, strict=True):
                parameter.copy_(old)
        self._inner.step()
        return loss


@dataclass(frozen=True)
class Climb(Regularizer):
    """Wraps the optimizer."""

    rho: float = 0.0

    def optimizer(self, optimizer: Any) -> Any:
        return Climbing(optimizer, self.rho)


class Noisy(TinyNet):
    """Draws from every generator, drops, and has buffers that its forward pass moves."""

    def __init__(self, num_classes: int, residual: Residual) -> None:
        super().__init__(num_classes, residual, 8)
        self.drop = nn.Dropout(0.2)
        self.head = spectral_norm(self.head)
        self.register_buffer("brightness", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            factor = 1 + 0.1 * (random.random() + np.random.random())  # noqa: NPY002  (a stranger's)
            self.brightness = 0.9 * self.brightness + x.detach().mean()  # a tensor that is new
            x = factor * x + 0.1 * torch.rand_like(x) - self.brightness
        return super().forward(self.drop(x))


def noisy(num_classes: int, residual: Residual) -> nn.Module:
    """``Noisy``."""
    return Noisy(num_classes, residual)


EVERYTHING: dict[str, Any] = {
    "architecture": noisy,
    "max_steps": 4,
    "regularizers": [shake_shake, shake_drop, mixup, ema],
}
TWICE = {**EVERYTHING, "regularizers": [*EVERYTHING["regularizers"], Climb]}


def check_same(once: Any, twice: Any) -> None:
    assert once.record["weights_sha256"] == twice.record["weights_sha256"]
    lines = [folder.metrics()[-1] for folder in (once, twice)]
    for name in ("train_loss", "test_loss", "test_error"):
        assert lines[0][name] == lines[1][name]


@pytest.mark.parametrize(
    "changes",
    [{}, {"micro_batch_size": 4, "bn_group_size": 4}, {"kernels": "fused", "bn_group_size": 4}],
)
def test_two_passes_at_the_same_weights_are_one_to_the_bit(tmp_path, changes):
    tasks = [
        tiny_task(tmp_path, name, **{**settings, **changes})
        for name, settings in (("once", EVERYTHING), ("twice", TWICE))
    ]
    for task in tasks:
        execute(task)
    check_same(*(task.open_folder() for task in tasks))


@pytest.mark.parametrize("kernels", ["torch", "fused"])
def test_two_passes_on_two_ranks_are_one_to_the_bit(tmp_path, kernels):
    once, twice = ({**settings, "kernels": kernels} for settings in (EVERYTHING, TWICE))
    check_same(on_ranks(tmp_path, "once", once), on_ranks(tmp_path, "twice", twice))


@pytest.mark.parametrize("kernels", ["torch", "fused"])
def test_a_pass_at_other_weights_moves_no_statistics(tmp_path, kernels):
    states = []
    for name, regularizers in (("plain", []), ("climbing", [partial(Climb, 0.5)])):
        changes = {"regularizers": regularizers, "kernels": kernels, "max_steps": 1}
        task = tiny_task(tmp_path, name, **changes)
        execute(task)
        newest = max(task.open_folder().checkpoints.iterdir())
        states.append(torch.load(newest / "state.pt", weights_only=True)["model"])

    plain, climbing = states
    for name in plain:
        is_statistic = "running" in name or "tracked" in name
        assert torch.equal(plain[name], climbing[name]) == is_statistic, name
