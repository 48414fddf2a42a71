"""Networks with a paper's name are a family with settings, of the size that they claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from cifarzoo import create_model
from cifarzoo.components.plugins import catalogue
from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.zoo.architectures import named
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.shake_resnet import shake_resnet
from cifarzoo.zoo.architectures.residual.wide_resnet import wide_resnet
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake

Factory = Callable[..., nn.Module]
BASIC = {"depth": 110, "block": "basic"}
AUTOAUGMENT = {  # at 100 classes: google-research/sam asserts the same in its test
    "wrn28_10": 36_278_324,
    "shake26_2x96d": 26_227_572,
    "pyramid272_a200": 26_288_692,
}
NETWORKS: dict[str, tuple[Factory, dict[str, Any], int]] = {
    "wrn28_10": (wide_resnet, {"blocks_per_group": 4, "widen_factor": 10}, 36_479_194),
    "wrn40_10": (wide_resnet, {"blocks_per_group": 6, "widen_factor": 10}, 55_841_754),
    "shake26_2x32d": (shake_resnet, {"widen_factor": 2}, 2_923_162),
    "shake26_2x64d": (shake_resnet, {"widen_factor": 4}, 11_653_978),
    "shake26_2x96d": (shake_resnet, {"widen_factor": 6}, 26_192_922),
    "pyramid110_a84": (pyramidnet, BASIC | {"alpha": 84.0}, 3_904_446),
    "pyramid110_a270": (pyramidnet, BASIC | {"alpha": 270.0}, 28_485_477),
    "pyramid164_a270": (pyramidnet, {"depth": 164, "alpha": 270.0}, 27_216_021),
    "pyramid272_a200": (
        pyramidnet,
        {"depth": 272, "alpha": 200.0, "channel_rounding": "truncate"},
        26_046_428,
    ),
}


def build(factory: Factory, classes: int = 10, **settings: Any) -> nn.Module:
    """On the meta device, with the regularizer that shake_resnet asks for."""
    needs_paths = factory is shake_resnet or factory.__name__.startswith("shake26")
    port = ResidualPort([shake_shake()] if needs_paths else [])
    with torch.device("meta"):
        return factory(classes, port, **settings)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_named_network_is_its_family_with_settings(name: str):
    family, settings, parameters = NETWORKS[name]
    model = build(getattr(named, name))
    assert str(model) == str(build(family, variant="paper", **settings))
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("name", NETWORKS)
def test_its_other_variant_is_the_familys(name: str):
    family, settings, _ = NETWORKS[name]
    own = {key: value for key, value in settings.items() if key != "channel_rounding"}
    model = build(getattr(named, name), classes=100, variant="autoaugment")
    assert str(model) == str(build(family, classes=100, variant="autoaugment", **own))
    parameters = sum(p.numel() for p in model.parameters())
    assert AUTOAUGMENT.get(name, parameters) == parameters


PRESETS = {
    name: entry
    for name, entry in catalogue().entries.items()
    if entry.preset and (entry.kind, entry.origin) == ("architecture", "cifarzoo")
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_parameters_that_it_claims(name: str):
    has_paths = "shake" in name + PRESETS[name].preset.family.name
    regularizers = ["shake_shake"] if has_paths else []
    with torch.device("meta"):
        model = create_model(name, regularizers=regularizers)
    assert sum(p.numel() for p in model.parameters()) == PRESETS[name].preset.num_parameters


def test_every_named_network_is_a_preset():
    assert PRESETS.keys() == {name for name in vars(named) if name in catalogue().entries} - {
        entry.preset.family.name for entry in PRESETS.values()
    }
    assert PRESETS.keys() >= {*NETWORKS, "resnet8", "resnet18", "wrn26_10", "pyramid", "airbench94"}


def test_dropout_of_a_named_network_reaches_every_block():
    for name, blocks in (("wrn28_10", 12), ("wrn40_10", 18)):
        model = build(getattr(named, name), dropout_rate=0.3)
        rates = [m.p for m in model.modules() if isinstance(m, nn.Dropout)]
        assert rates == [0.3] * blocks
