"""Families at their smallest, and what tests ask about a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.protocols import Regularizer
from cifarzoo.zoo.architectures.named import resnet18, wrn26_6_ss
from cifarzoo.zoo.architectures.residual import pyramidnet as pyramids
from cifarzoo.zoo.architectures.residual import resnet as resnets
from cifarzoo.zoo.architectures.residual import shake_resnet as shakes
from cifarzoo.zoo.architectures.residual import wide_resnet as wides
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.resnet import resnet
from cifarzoo.zoo.architectures.residual.shake_resnet import shake_resnet
from cifarzoo.zoo.architectures.residual.wide_resnet import wide_resnet
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake

Factory = Callable[..., nn.Module]
FAMILIES = {wide_resnet: wides, shake_resnet: shakes, pyramidnet: pyramids, resnet: resnets}
SMALL = {
    wide_resnet: {"blocks_per_group": 1, "widen_factor": 1},
    shake_resnet: {"blocks_per_group": 1, "widen_factor": 1},
    pyramidnet: {"depth": 11, "alpha": 8.0},
    resnet: {"depth": 8},
    resnet18: {"width": 4},
}
VARIANTS = [(family, name) for family, module in FAMILIES.items() for name in module.VARIANTS]


def build(factory: Factory, *regularizers: Regularizer, classes: int = 10, **settings: Any):
    if factory in (shake_resnet, wrn26_6_ss) or getattr(factory, "func", None) is shake_resnet:
        regularizers = regularizers or (shake_shake(),)
    return factory(classes, ResidualPort(regularizers), **settings)


def small(family: Factory, *regularizers: Regularizer, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    return build(family, *regularizers, **(SMALL[family] | settings))


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def layers(model: nn.Module) -> list[nn.Module]:
    """The layers with weights."""
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    return [module for module in model.modules() if isinstance(module, kinds)]


def normalised(x: Tensor) -> Tensor:
    """What a fresh BatchNorm gives in training."""
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    return (x - mean) / (var + 1e-5).sqrt()
