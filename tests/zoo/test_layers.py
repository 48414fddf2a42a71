"""Layers: what each code makes its layers with, as one thing that every family takes whole."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from cifarzoo import create, create_model
from cifarzoo.errors import ConfigError
from cifarzoo.layers.batch_norm import BatchNorm2d
from cifarzoo.zoo.architectures.named import resnet20, wrn26_2
from cifarzoo.zoo.architectures.residual.wide_resnet import wide_resnet
from cifarzoo.zoo.layers.conventions import (
    autoaugment_layers,
    flax2020_layers,
    he2015_layers,
    paper_layers,
    torch_layers,
)
from cifarzoo.zoo.layers.padding import SameConv2d
from tests.small_networks import FAMILIES, VARIANTS, Factory, build, layers, small


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return dict(model.state_dict())


def assert_same(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0)
    assert str(one) == str(other)


@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_a_variants_own_layers_change_nothing(family: Factory, variant: str):
    own = FAMILIES[family].VARIANTS[variant].layers
    assert_same(small(family, variant=variant), small(family, variant=variant, layers=own))


def test_layers_are_taken_as_a_factory_a_partial_and_an_object():
    expected = small(wide_resnet, layers=partial(flax2020_layers, conv_bias=False))
    made = create("flax2020_layers", conv_bias=False)
    assert_same(small(wide_resnet, layers=made), expected)
    assert not any(layer.bias is not None for layer in layers(expected) if is_conv(layer))
    torch.manual_seed(0)
    settings = {"blocks_per_group": 1, "widen_factor": 1}
    assert_same(create_model("wide_resnet", layers=made, **settings), expected)


def test_one_convention_is_another_network_with_that_alone():
    plain, changed = small(wide_resnet), small(wide_resnet, layers=flax2020_layers(bn_eps=1e-3))
    torch.testing.assert_close(weights(changed), weights(plain), rtol=0, atol=0)
    assert {norm.eps for norm in changed.modules() if isinstance(norm, BatchNorm2d)} == {1e-3}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (torch_layers, (False, False, True, "torch", "torch")),
        (he2015_layers, (False, False, True, "he_fan_in", "torch")),
        (paper_layers, (False, False, True, "he_fan_out", "torch")),
        (autoaugment_layers, (False, True, True, "he_fan_out", "uniform_fan_out")),
        (flax2020_layers, (True, True, False, "lecun_truncated", "lecun_truncated")),
    ],
)
def test_each_codes_layers_are_these(make: Any, expected: tuple[Any, ...]):
    bias, is_same, unbiased, conv_init, dense_init = expected
    made = make()
    conv, norm = made.conv(3, 4, 3, 2), made.norm(4)
    assert (conv.bias is not None, isinstance(conv, SameConv2d)) == (bias, is_same)
    assert (norm.momentum, norm.eps, norm.unbiased) == (0.1, 1e-5, unbiased)
    assert (made.conv_init, made.dense_init) == (conv_init, dense_init)


@pytest.mark.parametrize("make", [torch_layers, flax2020_layers])
def test_biases_start_at_zero(make: Any):
    made = make(conv_bias=True)
    assert not made.conv(3, 4, 3).bias.any()
    assert not made.dense(4, 10).bias.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bn_momentum": 0.0}, "bn_momentum is 0.0; expected above 0 to 1"),
        ({"bn_eps": 0.0}, "bn_eps is 0.0; expected above 0 to below 1"),
        ({"padding": "valid"}, "padding is 'valid'; expected 'same' or 'symmetric'"),
        ({"conv_init": "zeros"}, "conv_init is 'zeros'; expected 'lecun_truncated', 'he_fa"),
        ({"dense_init": "zeros"}, "dense_init is 'zeros'; expected 'lecun_truncated', 'he"),
    ],
)
def test_conventions_that_no_layers_have_are_refused_by_name(
    settings: dict[str, Any], message: str
):
    with pytest.raises(ConfigError, match=f"^flax2020_layers.{message}"):
        build(wrn26_2, layers=partial(flax2020_layers, **settings))
    with pytest.raises(ConfigError, match=f"^{message}"):
        flax2020_layers(**settings)


def test_anothers_layers_are_used_by_every_family():
    class Marked:
        """Torch's layers, each norm an identity."""

        def conv(
            self, in_channels: int, channels: int, size: int, stride: int = 1, groups: int = 1
        ) -> nn.Module:
            pad = size // 2
            return nn.Conv2d(in_channels, channels, size, stride, pad, groups=groups, bias=False)

        def norm(self, _: int) -> nn.Module:
            return nn.Identity()

        def dense(self, features: int, num_classes: int) -> nn.Module:
            return nn.Linear(features, num_classes)

    for family in FAMILIES:
        model = small(family, layers=Marked)
        assert not any(isinstance(module, BatchNorm2d) for module in model.modules())
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert not any(isinstance(m, BatchNorm2d) for m in build(resnet20, layers=Marked()).modules())


def is_conv(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d)
