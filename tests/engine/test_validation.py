"""What the engine asks of components before it trains them, where a plugin would break it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from torch import nn

import cifarzoo
from cifarzoo.components.registry import PURPOSES
from cifarzoo.engine.assembly import validation as contract
from cifarzoo.engine.assembly.dry_run import dry_run
from cifarzoo.engine.assembly.validation import (
    check_memory,
    check_network,
    check_scaling,
    memory_of,
)
from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError
from tests.tiny import tiny_run

CPU = torch.device("cpu")


class TwoPasses(torch.optim.SGD):
    """Computes the gradient twice a step, as SAM does."""

    def step(self, closure):
        closure()
        return super().step(closure)


def two_passes(params, *, lr: float = 0.1):
    return TwoPasses(params, lr=lr)


def looking(num_classes: int):
    """A network that can't be built or run without numbers."""
    scale = torch.ones(1).item()

    class Looking(nn.Sequential):
        def forward(self, x):
            return super().forward(x * scale if x.sum() >= 0 else x)

    return Looking(nn.Flatten(), nn.Linear(3072, num_classes))


def test_an_optimizer_of_two_passes_trains_and_is_refused_where_losses_are_scaled(task):
    execute(task("plain", optimizer=two_passes, max_steps=2))

    weights = [nn.Parameter(torch.zeros(3))]
    check_scaling(TwoPasses(weights), is_scaled=False)
    check_scaling(torch.optim.SGD(weights), is_scaled=True)
    with pytest.raises(ConfigError, match="is 'float16', whose scaled losses TwoPasses can't use"):
        check_scaling(TwoPasses(weights), is_scaled=True)


def test_a_network_that_looks_at_its_numbers_is_tried_with_weights(task):
    tried = dry_run(tiny_run(architecture=looking), folder=None, device=CPU)

    assert all(p.device == CPU for p in tried.model.parameters())
    assert execute(task("looking", architecture=looking, max_steps=2))["steps"] == 2


def test_others_are_tried_without():
    tried = dry_run(tiny_run(), folder=None, device=CPU)

    assert all(p.device.type == "meta" for p in tried.model.parameters())


def test_trying_a_network_changes_neither_it_nor_a_generator():
    model = nn.Sequential(nn.Conv2d(3, 4, 32), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)

    check_network(model, num_classes=4, name="net")

    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())


def test_memory_is_that_of_the_container_where_it_has_less(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(contract, "CONTROL_GROUPS", (limit,))
    limit.write_text("max\n")
    whole = memory_of(CPU)
    limit.write_text("8000\n")

    assert whole is not None
    assert whole > 8000
    check_memory(1000, CPU)
    with pytest.raises(ConfigError, match="has 1,001 parameters"):
        check_memory(1001, CPU)


def test_every_purpose_of_the_engines_random_numbers_is_a_reserved_name():
    found = set()
    for path in Path(cifarzoo.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="key" | "generator" | "seed_torch"),
                    args=[_, ast.Constant(value=str(purpose)), *_],
                ):
                    found.add(purpose)

    assert found
    assert found <= PURPOSES, "a component of that name would share its numbers"
