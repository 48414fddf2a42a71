"""Layers of networks: their arithmetic against closed forms and against published numbers."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from cifarzoo import create_model
from cifarzoo.engine.assembly.layers_of import layers_of
from cifarzoo.errors import ConfigError
from tests.command import refuse, succeed


def test_convolutions_and_matrices_are_counted_by_their_formulas():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(8, 8, 5, groups=8),
        nn.BatchNorm2d(8),
        nn.Flatten(),
        nn.Linear(8 * 12 * 12, 10),
    )
    table = layers_of(model, (3, 32, 32))
    assert [layer.output_shape for layer in table.layers] == [
        (8, 16, 16),
        (8, 12, 12),
        (8, 12, 12),
        (1152,),
        (10,),
    ]
    assert [layer.flops for layer in table.layers] == [
        2 * 16 * 16 * 8 * 3 * 9,
        2 * 12 * 12 * 8 * 25,
        0,
        0,
        2 * 1152 * 10,
    ]
    assert [layer.num_parameters for layer in table.layers] == [216, 208, 16, 0, 11530]
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet20", 40.8),  # 0.0408 G in imgclsmob's table for CIFAR-10
        ("resnet18", 555.4),  # 0.56 G in codes for CIFAR
        ("wrn28_10", 5246.0),  # 5.25 G
        ("densenet100_k12", 292.4),  # 0.29 G
        ("pyramid110_a84", 778.0),  # 0.78 G
    ],
)
def test_multiplications_are_the_published_ones(name, millions):
    with torch.device("meta"):
        model = create_model(name)
    table = layers_of(model, (3, 32, 32))
    assert table.flops / 2e6 == pytest.approx(millions, rel=0.02)
    assert sum(layer.flops for layer in table.layers) == table.flops


def test_what_no_layer_holds_is_in_the_sums():
    model = create_model("vit", dim=16, num_heads=2, depth=1)
    table = layers_of(model, (3, 32, 32))
    assert table.num_parameters == sum(p.numel() for p in model.parameters())
    in_layers = sum(layer.num_parameters for layer in table.layers)
    assert table.num_parameters - in_layers == 16 * 64  # the positions
    products = table.flops - sum(layer.flops for layer in table.layers)
    assert products == 2 * 2 * 64 * 64 * 16  # of attention


def test_an_image_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"fails on an image \(3, 8, 8\): "):
        layers_of(create_model("lenet"), (3, 8, 8))


def test_show_prints_the_layers_of_architectures_and_configs():
    lines = succeed("show", "resnet8", "--layers").splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "parameters", "MFLOPs"]
    assert lines[1].split() == ["stem.conv", "Conv2d", "16", "x", "16", "x", "16", "432", "0.22"]
    assert lines[-1].split() == ["in", "all", "78042", "6.25"]

    rows = json.loads(succeed("show", "quickstart.gin", "--layers", "--json"))
    assert {row["kind"] for row in rows} >= {"ReLU", "Conv2d"}
    assert rows[-1]["parameters"] == 78042
    assert rows[-1]["MFLOPs"] == pytest.approx(6.25, 1e-2)


def test_the_layers_of_an_augmentation_are_refused():
    message = refuse("show", "cutout", "--layers")
    assert "--layers shows architectures and configs; cutout is of kind augmentation" in message
