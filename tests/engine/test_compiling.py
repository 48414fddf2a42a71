"""Networks are compiled by their blocks, and compute what they did."""

from __future__ import annotations

import copy
import inspect
from functools import partial

import pytest
import torch
from torch import nn

from cifarzoo import create_model
from cifarzoo.engine import state
from cifarzoo.engine.device.compiling import (
    blocks,
    compile_network,
    forget_compiled,
    uncompiled,
)
from cifarzoo.engine.device.precision import choose
from cifarzoo.engine.events import CompiledEvent, StepEvent
from cifarzoo.engine.runner import execute
from cifarzoo.zoo.architectures.residual.blocks import ResidualBlock
from tests.tiny import tiny_run, tiny_task


class Net(nn.Module):
    """A convolution and a layer: torch 2.11 compiled no gradient for what was frozen in it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("name", "number"), [("wrn26_2", 12), ("resnet20", 9), ("wrn26_6_ss", 12), ("pyramid", 90)]
)
def test_the_blocks_of_a_residual_network_are_found(name, number):
    regularizers = ["shake_shake"] if name == "wrn26_6_ss" else []
    with torch.device("meta"):
        model = create_model(name, regularizers=regularizers)

    found = list(blocks(model))

    assert len(found) == number
    assert {type(block) for block in found} == {ResidualBlock}


def test_a_network_without_repeated_blocks_is_compiled_whole():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    assert compile_network(network, backend="eager") == [network]


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, while it compiles
def test_compiled_blocks_compute_what_the_network_did_and_share_their_code():
    torch.manual_seed(0)
    plain = create_model("resnet20")
    compiled = copy.deepcopy(plain)
    images = torch.randn(2, 3, 32, 32)
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    for part in compile_network(compiled, backend="eager"):
        part.compile(backend=count)
    outputs = []
    for network in (plain, compiled):
        network(images).square().sum().backward()
        outputs.append(network(images))

    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=0)
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0)
    assert 0 < len(graphs) < 9  # first and later blocks of three groups; the state dict's names
    assert plain.state_dict().keys() == compiled.state_dict().keys()


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, while it compiles
def test_a_hook_that_comes_after_compilation_is_called_where_nothing_is_compiled():
    torch.manual_seed(0)
    plain = create_model("resnet8").eval()
    compiled = copy.deepcopy(plain)
    images = torch.randn(2, 3, 32, 32)
    compile_network(compiled, backend="eager")
    before = compiled(images)
    for network in (plain, compiled):
        block = next(m for m in network.modules() if isinstance(m, ResidualBlock))
        block.register_forward_hook(lambda _module, _args, output: 2 * output)

    with uncompiled(active=True):
        hooked = compiled(images)

    torch.testing.assert_close(hooked, plain(images), rtol=0, atol=0)
    assert not torch.equal(hooked, before)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_nothing_is_compiled_that_was_not_asked_for(device):
    run = tiny_run(precision="bfloat16")

    assert not choose(run, torch.device(device)).compile


@pytest.mark.parametrize(("name", "unlike"), [("wrn26_2", False), ("pyramid", True)])
def test_only_unlike_blocks_are_compiled_apart(name, unlike, monkeypatch):
    asked = []
    monkeypatch.setattr(nn.Module, "compile", lambda _module, **options: asked.append(options))
    can_isolate = "isolate_recompiles" in inspect.signature(torch.compile).parameters  # torch 2.14
    with torch.device("meta"):
        compile_network(create_model(name))

    isolated = {options.get("isolate_recompiles", False) for options in asked}
    assert isolated == {unlike and can_isolate}
    assert {options["dynamic"] for options in asked} == {False}


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, while it compiles
def test_a_parameter_that_is_trained_from_later_on_gets_a_gradient():
    network = Net()
    compile_network(network, backend="aot_eager")
    images, bias = torch.randn(2, 3, 8, 8), network.conv.bias
    bias.requires_grad_(False)
    network(images).sum().backward()
    bias.requires_grad_(True)

    forget_compiled()
    network(images).sum().backward()

    assert bias.grad is not None
    assert bias.grad.abs().sum() > 0


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, while it compiles
def test_how_long_compiling_took_is_said_once(tmp_path, monkeypatch):
    eager = partial(compile_network, backend="eager")
    monkeypatch.setattr(state, "compile_network", eager)
    events = []

    execute(tiny_task(tmp_path, "run", compile=True, epochs=1), [events.append])

    kinds = [type(event) for event in events if not isinstance(event, StepEvent)]
    assert kinds.count(CompiledEvent) == 1
    assert kinds.index(CompiledEvent) == 1  # after the start
