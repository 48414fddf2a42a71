"""Layers in their order, and rates that fall from each to the one before it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from cifarzoo import create_model
from cifarzoo.components.plugins import catalogue
from cifarzoo.engine.assembly.build import build, build_optimizer
from cifarzoo.engine.assembly.layer_order import layer_numbers, layer_scales
from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError
from cifarzoo.zoo.optimizers.sgd import sgd
from tests.engine.test_ranks import weights
from tests.tiny import tiny_net, tiny_run

OURS = [
    entry.name
    for entry in catalogue(ask_environment=False).entries.values()
    if entry.kind == "architecture" and entry.origin == "cifarzoo" and entry.preset is None
]
# Blocks or groups, the stem before and the classifier behind them.
LAYERS = {
    "resnet20": 9 + 2,
    "resnet50": 16 + 2,
    "wrn28_10": 12 + 2,
    "densenet40_k12": 36 + 2 + 2,
    "mobilenet_v2": 17 + 2,
    "shufflenet_v2": 16 + 2,
    "efficientnet_b0": 16 + 2,
    "vgg16": 5 + 1,
    "vit": 2 * 9 + 2,  # attention and the perceptron are a residual block each
    "convnext": 15 + 2 + 2,
    "airbench94": 3 + 2,
}


def network(name):
    paths = ["shake_shake"] if name == "shake_resnet" else []
    with torch.device("meta"):
        return create_model(name, regularizers=paths)


@pytest.mark.parametrize("name", OURS)
def test_layers_of_every_network_are_in_the_order_in_which_they_are_registered(name):
    numbers = [*layer_numbers(network(name)).values()]
    assert numbers == sorted(numbers)
    assert {*numbers} == {*range(numbers[0], numbers[-1] + 1)}
    assert len({*numbers}) > 2


@pytest.mark.parametrize(("name", "count"), LAYERS.items())
def test_a_block_is_a_layer(name, count):
    assert len({*layer_numbers(network(name)).values()}) == count


class Torchvisions(nn.Module):
    """Named as torchvision's ResNets are."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 1)
        self.layer1 = nn.Sequential(Block(), Block())
        self.layer2 = nn.Sequential(Block())
        self.fc = nn.Linear(4, 10)

    def forward(self, images):
        x = self.layer2(self.layer1(self.conv1(images)))
        return self.fc(x.mean((2, 3)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1, bias=False)

    def forward(self, x):
        return x + self.conv(x)


class Told(Torchvisions):
    """Says itself what its layers are."""

    def layers_in_order(self):
        return [self.layer1, self.layer2]


class Unordered(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 10), nn.Linear(3, 10)

    def forward(self, images):
        return self.left(images.mean((2, 3))) + self.right(images.amax((2, 3)))


@pytest.mark.parametrize(
    ("model", "numbers"),
    [(Torchvisions(), [0, 0, 1, 2, 3, 4, 4]), (Told(), [0, 0, 1, 1, 2, 3, 3])],
    ids=["by its names", "by its own words"],
)
def test_layers_of_other_networks_are_found(model, numbers):
    assert [*layer_numbers(model).values()] == numbers


def test_each_layer_has_the_rate_of_the_next_times_the_decay():
    scales = layer_scales(Torchvisions(), 0.5)
    assert [*scales.values()] == [1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 1]


def torchvisions(num_classes):
    assert num_classes == 10
    return Torchvisions()


def unordered(num_classes):
    assert num_classes == 10
    return Unordered()


def test_steps_are_those_of_an_optimizer_with_a_group_a_layer():
    run = tiny_run(
        architecture=torchvisions,
        optimizer=partial(sgd, lr=0.1, weight_decay=0.01),
        weight_decay_policy="no_norm_bias",
        layer_decay=0.5,
    )
    components = build(run, folder=None)
    optimizer, base_rates = build_optimizer(run, components, components.model)

    twin = build(run, folder=None).model
    groups = [
        {
            "params": [parameter],
            "lr": 0.1 * 0.5 ** (4 - number),
            "weight_decay": 0.01 if parameter.ndim > 1 else 0.0,
        }
        for parameter, number in zip(twin.parameters(), [0, 0, 1, 2, 3, 4, 4], strict=True)
    ]
    theirs = torch.optim.SGD(groups, momentum=0.9, nesterov=True)
    for model, updates in ((components.model, optimizer), (twin, theirs)):
        torch.manual_seed(0)
        for _ in range(3):
            for parameter in model.parameters():
                parameter.grad = torch.randn_like(parameter)
            updates.step()
    torch.testing.assert_close(components.model.state_dict(), twin.state_dict())
    assert base_rates[0] == 0.1  # of the classifier, which is the rate that is told
    assert len(optimizer.param_groups) == 5 + 2


def halved():
    """A factor of a half, in every step."""
    return lambda _timestamp: 0.5


def test_it_multiplies_with_the_schedule_and_with_the_rate_of_shifts(task):
    """Plain SGD's first step: each tensor moves by its rate times its gradient."""
    changes = {
        "optimizer": partial(sgd, lr=0.1, momentum=0.0, nesterov=False),
        "precision": "float64",
        "max_steps": 1,
        "norm_bias_lr_scale": 4.0,
    }
    runs = {
        "plain": {"schedule": lambda: lambda _timestamp: 1.0},
        "both": {"schedule": halved, "layer_decay": 0.5},
    }
    first = build(tiny_run(**changes), folder=None).model.double().state_dict()
    moves = {}
    for name, settings in runs.items():
        done = task(name, **changes, **{k: v for k, v in settings.items() if k != "schedule"})
        execute(replace(done, run=replace(done.run, schedule=settings["schedule"])))
        moves[name] = {n: t - first[n] for n, t in weights(done.open_folder()).items()}
    scales = layer_scales(tiny_net(10, lambda make, _site: make()), 0.5)
    assert {*scales.values()} == {1.0, 0.5, 0.25, 0.125}
    for name, scale in scales.items():
        torch.testing.assert_close(moves["both"][name], 0.5 * scale * moves["plain"][name])


def test_a_run_with_it_goes_on_to_the_same_bits_where_the_groups_are_many(task):
    changes = {"layer_decay": 0.75, "checkpoint_steps": 8, "keep_checkpoints": 2}
    whole = execute(task("whole", **changes))
    stopped = task("stopped", **changes)
    execute(stopped)
    folder = stopped.open_folder()
    newest = max(folder.checkpoints.iterdir())
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    folder.update(status="stopped")
    assert execute(stopped).weights_sha256 == whole.weights_sha256


def test_a_network_without_an_order_is_refused():
    run = tiny_run(architecture=unordered, layer_decay=0.5)
    with pytest.raises(
        ConfigError,
        match=r"layer_decay is for networks of layers in order, and Unordered has no li",
    ):
        build_optimizer(run, build(run, folder=None), Unordered())


@pytest.mark.parametrize("decay", [0.0, 1.5])
def test_a_decay_out_of_its_range_is_refused(decay):
    with pytest.raises(ConfigError, match=rf"layer_decay is {decay}; expected above 0 to 1"):
        tiny_run(layer_decay=decay)
