"""Networks of hysts/pytorch_image_classification that aren't the papers', and its switches.

Parameter counts are those of that code at 993089a, counted by running it.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cifarzoo import create_model
from cifarzoo.errors import ConfigError
from tests.zoo.test_torchvision_networks import K, assert_equal

NUM_PARAMETERS = [
    ("vgg15", {}, [], 14_728_266),
    ("preact_resnet", {"depth": 20, "block": "basic", "width": 64}, [], 4_326_986),
    ("preact_resnet110", {"final_norm": True, "remove_first_relu": True}, [], 1_734_554),
    ("preact_resnet110", {}, ["squeeze_excite"], 1_744_760),
    ("preact_resnet164_hysts", {}, [], 1_619_290),
    ("preact_resnet164_hysts", {"final_norm": True}, [], 1_633_690),
    ("preact_resnet164_hysts", {}, ["squeeze_excite"], 1_811_836),
    (
        "densenet",
        {"depth": 100, "bottleneck": False, "reduction": 1.0, "stem_channels": 24},
        [],
        7_083_538,
    ),
    ("resnext29_4x64d", {}, [], 17_562_442),
    # Of kuangliu/pytorch-cifar at 49b7aa9, by running it.
    ("preact_resnet18", {"norm_before_pooling": False}, [], 11_171_146),
    ("preact_resnet34", {"norm_before_pooling": False}, [], 21_279_306),
    ("preact_resnet50", {"norm_before_pooling": False}, [], 23_509_066),
    ("preact_resnet101", {"norm_before_pooling": False}, [], 42_501_194),
    ("preact_resnet152", {"norm_before_pooling": False}, [], 58_144_842),
]


@pytest.mark.parametrize(("name", "settings", "regularizers", "expected"), NUM_PARAMETERS)
def test_it_has_as_many_parameters(name, settings, regularizers, expected):
    with torch.device("meta"):
        model = create_model(name, regularizers=regularizers, **settings)
    assert sum(p.numel() for p in model.parameters()) == expected


def one_name_for_all_relus(in_channels: int, channels: int, num_convs: int) -> nn.Sequential:
    """A group of VGG as the code of 2017 adds its modules."""
    group = nn.Sequential()
    for index in range(num_convs):
        group.add_module(f"conv{index}", nn.Conv2d(in_channels, channels, 3, padding=1))
        group.add_module(f"bn{index}", nn.BatchNorm2d(channels))
        group.add_module("relu", nn.ReLU())
        in_channels = channels
    group.add_module("pool", nn.MaxPool2d(2))
    return group


def test_vgg15_has_the_relus_that_modules_of_one_name_leave():
    parts, before = OrderedDict[str, nn.Module](), 3
    for number, (channels, num_convs) in enumerate([(8, 2), (16, 2), (32, 3), (64, 3), (64, 3)]):
        parts[f"stage{number}"] = one_name_for_all_relus(before, channels, num_convs)
        before = channels
    theirs = nn.Sequential(*parts.values(), nn.Flatten(), nn.Linear(64, K))
    ours = create_model("vgg15", width=8)
    assert sum(isinstance(module, nn.ReLU) for module in ours.modules()) == 5
    assert_equal(ours, theirs)


class Unit(nn.Module):
    """A residual unit of two 3x3 convolutions with the switches of that code."""

    def __init__(self, before: int, channels: int, stride: int, *, shares: bool, **switches: bool):
        super().__init__()
        self.shares, self.switches = shares, switches
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        if switches["add_last_bn"]:
            self.norm3 = nn.BatchNorm2d(channels)
        if before != channels:
            self.shortcut = nn.Conv2d(before, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        if self.shares:
            x = y = y.relu()
        elif not self.switches["remove_first_relu"]:
            y = y.relu()
        y = self.conv2(self.norm2(self.conv1(y)).relu())
        y = self.norm3(y) if self.switches["add_last_bn"] else y
        return y + (self.shortcut(x) if hasattr(self, "shortcut") else x)


def reference(preact_stage: tuple[bool, ...], **switches: bool) -> nn.Module:
    """ResNet-preact-14."""
    units, before = [], 16
    for group, channels in enumerate((16, 32, 64)):
        for index in range(2):
            stride = 2 if group and not index else 1
            shares = preact_stage[group] and not index
            units.append(Unit(before, channels, stride, shares=shares, **switches))
            before = channels
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        *units,
        *(nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, K)),
    )


STAGES = {
    "groups_preactivated": (True, True, True),
    "first_preactivated": (True, False, False),
    "preactivated": (False, True, True),
    "raw": (False, False, False),
}


@pytest.mark.parametrize(
    ("stages", "removed", "added"), list(product(STAGES, [False, True], [False, True]))
)
def test_the_switches_of_its_pre_activation_resnet(stages: str, removed: bool, added: bool):
    settings: dict[str, Any] = {
        "shortcut_input": stages,
        "remove_first_relu": removed,
        "final_norm": added,
    }
    ours = create_model("preact_resnet", depth=14, block="basic", **settings)
    assert_equal(ours, reference(STAGES[stages], remove_first_relu=removed, add_last_bn=added))


def test_widths_that_are_not_one_a_group_are_refused():
    with pytest.raises(ConfigError, match=r"widths is \[4, 8\]; expected a number for each of 3 "):
        create_model("preact_resnet", depth=11, widths=[4, 8])
