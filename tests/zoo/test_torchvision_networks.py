"""Networks that torchvision has too give its outputs, with its weights and a stem for 32 pixels."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck

from cifarzoo import create_model
from cifarzoo.zoo.architectures.classic.densenet import densenet

K, SIDE = 10, 32


def assert_equal(ours, theirs):
    """Outputs and gradients of both, in training and in evaluation, from random weights."""
    assert_equal_parameters(ours, ours.parameters(), theirs)


def assert_equal_parameters(ours, ours_in_their_order, theirs):
    torch.manual_seed(0)
    pairs = list(zip(ours_in_their_order, theirs.parameters(), strict=True))
    with torch.no_grad():
        for mine, its in pairs:
            its.add_(0.05 * torch.randn_like(its))
            mine.copy_(its)
    ours, theirs = ours.double(), theirs.double()
    images = torch.randn(4, 3, SIDE, SIDE, dtype=torch.float64)
    for is_training in (True, False):
        found, expected = ours.train(is_training)(images), theirs.train(is_training)(images)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    ours.train()(images).square().sum().backward()
    theirs.train()(images).square().sum().backward()
    for mine, its in pairs:
        torch.testing.assert_close(mine.grad, its.grad, rtol=1e-7, atol=1e-7)


def small_stem(model):
    """torchvision's ResNet with the stem of CIFAR codes."""
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_resnets_are_torchvisions(depth):
    theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=K)
    assert_equal(create_model(f"resnet{depth}"), small_stem(theirs))


def test_blocks_of_resnext_are_torchvisions():
    ours = create_model("resnext", num_classes=K, cardinality=8, base_width=4, depth=11)
    parts, channels = [], 64
    for group, planes in enumerate((64, 128, 256)):
        stride = 2 if group else 1
        shortcut = nn.Sequential(
            nn.Conv2d(channels, 4 * planes, 1, stride, bias=False), nn.BatchNorm2d(4 * planes)
        )
        parts.append(Bottleneck(channels, planes, stride, shortcut, groups=8, base_width=4))
        channels = 4 * planes
    theirs = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        *parts,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1024, K),
    )
    assert_equal(ours, theirs)


def test_densenet_bc_is_torchvisions():
    theirs = torchvision.models.DenseNet(
        growth_rate=12, block_config=(4, 4, 4), num_init_features=24, bn_size=4, num_classes=K
    )
    theirs.features.conv0 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
    for name in ("norm0", "relu0", "pool0"):
        setattr(theirs.features, name, nn.Identity())
    assert_equal(densenet(K, depth=28, growth_rate=12), theirs)


@pytest.mark.parametrize("depth", [11, 16])
def test_vgg_is_torchvisions_up_to_its_classifier(depth):
    theirs = getattr(torchvision.models, f"vgg{depth}_bn")(num_classes=K)
    for module in theirs.features:
        if isinstance(module, nn.Conv2d):
            module.bias = None
    model = nn.Sequential(theirs.features, nn.Flatten(), nn.Linear(512, K))
    assert_equal(create_model(f"vgg{depth}"), model)


def test_mobilenet_v2_is_torchvisions_with_fewer_strides():
    theirs = torchvision.models.mobilenet_v2(num_classes=K, dropout=0.0)
    theirs.features[0][0].stride = (1, 1)
    theirs.features[2].conv[1][0].stride = (1, 1)
    assert_equal(create_model("mobilenet_v2"), theirs)


def test_the_lenet_of_pytorchs_tutorial():
    theirs = nn.Sequential(
        *(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, K)),
    )
    assert_equal(create_model("lenet"), copy.deepcopy(theirs))


def test_shufflenet_v2_is_torchvisions_without_its_first_halvings():
    theirs = torchvision.models.shufflenet_v2_x0_5(num_classes=K)
    theirs.conv1[0].stride = (1, 1)
    theirs.maxpool = nn.Identity()
    assert_equal(create_model("shufflenet_v2", width="0.5"), theirs)


def test_efficientnet_b0_is_torchvisions_with_a_stem_of_stride_1():
    theirs = torchvision.models.efficientnet_b0(
        num_classes=K, dropout=0.0, stochastic_depth_prob=0.0
    )
    theirs.features[0][0].stride = (1, 1)
    assert_equal(create_model("efficientnet_b0", dropout_rate=0.0), theirs)


def test_regnet_x_is_torchvisions_with_fewer_strides():
    theirs = torchvision.models.regnet_x_400mf(num_classes=K)
    theirs.stem[0].stride = (1, 1)
    first = theirs.trunk_output.block1[0]
    first.f.b[0].stride = (1, 1)
    first.proj = None  # of 32 channels to 32
    ours = create_model("regnet_x_400mf")
    # torchvision has a block's projection before its path; here it comes behind it.
    ours_then = sorted(ours.named_parameters(), key=lambda item: place_of(item[0]))
    assert_equal_parameters(ours, [parameter for _, parameter in ours_then], theirs)


def place_of(name):
    """Where a parameter of a RegNet stands in torchvision's order."""
    parts = name.split(".")
    if parts[0] != "blocks":
        return (0 if parts[0] == "stem" else 2,)
    return 1, int(parts[1]), int(parts[2]), parts[3] != "shortcut"
