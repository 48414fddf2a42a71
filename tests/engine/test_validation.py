"""What the engine asks of components before it trains them, where a plugin would break it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import cifarzoo
from cifarzoo.components.registry import PURPOSES
from cifarzoo.engine.assembly import validation
from cifarzoo.engine.assembly.dry_run import build_within_memory, dry_run
from cifarzoo.engine.assembly.trials import check_network
from cifarzoo.engine.assembly.validation import check_memory, check_scaling, memory_of
from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError
from tests.tiny import evaluated, tiny_run
from tests.tried import TRIED

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
    assert execute(task("looking", architecture=looking, max_steps=2)).steps == 2


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
    monkeypatch.setattr(validation, "CONTROL_GROUPS", (limit,))
    limit.write_text("max\n")
    whole = memory_of(CPU)
    limit.write_text("8000\n")

    assert whole is not None
    assert whole > 8000
    check_memory(1000, CPU)
    with pytest.raises(ConfigError, match="has 1,001 parameters"):
        check_memory(1001, CPU)


built: list[str] = []


def noted_net(num_classes: int) -> nn.Module:
    """Says where it was built."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3072, num_classes))
    built.append(network[1].weight.device.type)
    return network


def test_a_network_is_built_once_by_the_trial_by_training_and_by_a_test(task):
    built.clear()
    done = task("run", architecture=noted_net, max_steps=2)
    execute(done)
    assert built == ["cpu", "cpu"]

    evaluated(done)

    assert built == ["cpu", "cpu", "cpu"]


def test_a_rank_whose_launcher_tried_the_run_builds_its_network_once(task):
    built.clear()

    execute(replace(task("run", architecture=noted_net, max_steps=2), tried=TRIED))

    assert built == ["cpu"]


@pytest.fixture
def little_memory(tmp_path, monkeypatch) -> None:
    """A container of 8,000 bytes."""
    limit = tmp_path / "memory.max"
    limit.write_text("8000\n")
    monkeypatch.setattr(validation, "CONTROL_GROUPS", (limit,))


class Wide(nn.Module):
    """Ten layers of 900 parameters each; counts those that got numbers."""

    filled = 0

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        for number in range(10):
            self.register_parameter(f"w{number}", nn.Parameter(torch.empty(900)))
            Wide.filled += nn.init.zeros_(getattr(self, f"w{number}")).device.type == "cpu"
        self.head = nn.Linear(3072, num_classes)


@pytest.mark.usefixtures("little_memory")
def test_a_network_that_is_too_large_is_refused_while_it_is_built_with_its_whole_size():
    Wide.filled = 0

    with pytest.raises(ConfigError, match="has 39,730 parameters, of which weights and gradients"):
        build_within_memory(tiny_run(architecture=Wide), folder=None, device=CPU)

    assert Wide.filled == 1


@pytest.mark.usefixtures("little_memory")
def test_one_that_looks_at_its_numbers_is_refused_with_what_was_counted():
    with pytest.raises(ConfigError, match=r"has 30,720 parameters or more; this machine has 0\.0 "):
        build_within_memory(tiny_run(architecture=looking), folder=None, device=CPU)


@pytest.mark.usefixtures("little_memory")
def test_a_network_that_fits_may_make_more_than_it_keeps(task):
    components = build_within_memory(
        tiny_run(architecture=wasteful, regularizers=[]), folder=None, device=CPU
    )

    assert sum(p.numel() for p in components.model.parameters()) == 160


def wasteful(num_classes: int) -> nn.Module:
    """A network of 160 parameters, made beside another."""
    nn.Linear(1000, 1000)
    return nn.Sequential(nn.AdaptiveAvgPool2d((5, 1)), nn.Flatten(), nn.Linear(15, num_classes))


def test_memory_that_cannot_be_had_is_refused_with_the_size_of_the_network():
    with pytest.raises(ConfigError, match="has 30,830,000,000,000,010 parameters, of which"):
        build_within_memory(tiny_run(architecture=immense), folder=None, device=CPU)


def immense(num_classes: int) -> nn.Module:
    """More than any machine has."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10**13), nn.Linear(10**13, num_classes))


def test_memory_that_cannot_be_had_for_anything_else_is_refused_too():
    with pytest.raises(ConfigError, match=r"needs more memory than there is: .*allocate memory"):
        build_within_memory(tiny_run(architecture=hoarding), folder=None, device=CPU)


def hoarding(num_classes: int) -> nn.Module:
    """A small network with an immense buffer."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3072, num_classes))
    network.register_buffer("hoard", torch.empty(10**15))
    return network


def test_every_purpose_of_the_engines_random_numbers_is_a_reserved_name():
    found = set()
    for path in Path(cifarzoo.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="key" | "generator" | "seed_generators"),
                    args=[_, ast.Constant(value=str(purpose)), *_],
                ):
                    found.add(purpose)

    assert found
    assert found <= PURPOSES, "a component of that name would share its numbers"
