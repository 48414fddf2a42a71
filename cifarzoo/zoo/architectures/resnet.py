"""The ResNets of Deep Residual Learning (He et al., 2015; arXiv:1512.03385) on small images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from torch import nn

from cifarzoo import register
from cifarzoo.protocols import Residual
from cifarzoo.zoo.architectures.details import PAPER, Init, LayerDetails, Padding, choose
from cifarzoo.zoo.architectures.limits import blocks_in, check_at_least, check_choice
from cifarzoo.zoo.architectures.network import (
    STRIDES,
    BlockPlan,
    ResidualBlock,
    ResidualNetwork,
    build_groups,
    chain,
    plan_groups,
)
from cifarzoo.zoo.architectures.shortcuts import project

Shortcut = Literal["subsample_pad", "conv1x1"]


@dataclass(frozen=True, kw_only=True)
class Details(LayerDetails):
    """What differs between published CIFAR ResNets.

    Attributes:
        shortcut: Where channels or size change: option A of the paper, or B.
    """

    shortcut: Shortcut

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(get_args(Shortcut), shortcut=self.shortcut)


VARIANTS = {
    "paper": Details(**vars(replace(PAPER, conv_init="he_fan_in")), shortcut="subsample_pad"),
}
# ResNet-18 as people train it on CIFAR: torch's own initialisation, and option B.
TORCH = replace(VARIANTS["paper"], conv_init="torch", shortcut="conv1x1")


@register.architecture
def resnet(
    num_classes: int,
    residual: Residual,
    *,
    depth: int = 20,
    width: int = 16,
    stem_stride: int = 1,
    variant: Literal["paper"] = "paper",
    conv_bias: bool | None = None,
    padding: Padding | None = None,
    bn_momentum: float | None = None,
    bn_eps: float | None = None,
    bn_unbiased: bool | None = None,
    conv_init: Init | None = None,
    dense_init: Init | None = None,
    shortcut: Shortcut | None = None,
) -> nn.Module:
    """A CIFAR ResNet of depth 6 n + 2: 20, 32, 44, 56, 110.

    Deep Residual Learning for Image Recognition (He et al., 2015; arXiv:1512.03385), section
    4.2: n blocks each of 16, 32 and 64 channels. A block is 3x3, norm, ReLU, 3x3, norm, and a
    ReLU after the sum.

    Args:
        num_classes: K.
        residual: The residual port.
        depth: Layers, 6 n + 2.
        width: Channels of the stem and the first group.
        stem_stride: 2 halves the image at once, for a quarter of the arithmetic.
        variant: The paper. What follows changes one detail of it; None: as it is there.
        conv_bias: Whether convolutions have a bias.
        padding: Of strided convolutions: as XLA's SAME, or the same on all sides.
        bn_momentum: Weight of a step in BatchNorm's running statistics.
        bn_eps: BatchNorm's epsilon.
        bn_unbiased: Whether the running variance is the unbiased one.
        conv_init: Initialiser of convolution kernels.
        dense_init: Initialiser of the classifier's kernel.
        shortcut: Where channels or size change: every second pixel and channels of zeros
            (option A of the paper), or a 1x1 convolution and a norm (option B).

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_at_least(1, width=width, stem_stride=stem_stride)
    blocks_per_group = blocks_in(depth, per_group=6)
    details = choose(
        VARIANTS,
        variant,
        conv_bias=conv_bias,
        padding=padding,
        bn_momentum=bn_momentum,
        bn_eps=bn_eps,
        bn_unbiased=bn_unbiased,
        conv_init=conv_init,
        dense_init=dense_init,
        shortcut=shortcut,
    )
    return plain_network(
        num_classes,
        residual,
        details,
        widths=[width, 2 * width, 4 * width],
        blocks_per_group=blocks_per_group,
        stem_stride=stem_stride,
    )


def plain_network(
    num_classes: int,
    residual: Residual,
    details: Details,
    *,
    widths: Sequence[int],
    blocks_per_group: int,
    strides: Sequence[int] = STRIDES,
    stem_stride: int = 1,
) -> nn.Module:
    """A 3x3 stem as wide as the first group, and groups of plain blocks."""

    def make_block(plan: BlockPlan) -> nn.Module:
        return plain_block(details, plan, residual)

    plans = plan_groups(widths[0], widths, blocks_per_group, strides=strides)
    return ResidualNetwork(
        stem=chain(
            conv=details.conv(3, widths[0], 3, stem_stride),
            norm=details.norm(widths[0]),
            relu=nn.ReLU(inplace=True),
        ),
        blocks=build_groups(plans, make_block),
        last=nn.Identity(),  # the last block ends in a ReLU
        head=details.dense(widths[-1], num_classes),
    )


def plain_block(details: Details, plan: BlockPlan, residual: Residual) -> nn.Module:
    """A block of two 3x3 convolutions with a ReLU after the sum."""
    shape = (plan.in_channels, plan.channels)

    def make_path() -> nn.Module:
        return chain(
            conv1=details.conv(*shape, 3, plan.stride),
            norm1=details.norm(plan.channels),
            relu1=nn.ReLU(inplace=True),
            conv2=details.conv(plan.channels, plan.channels, 3),
            norm2=details.norm(plan.channels),
        )

    return ResidualBlock(
        residual=residual(make_path, plan.site(final_norm=True)),
        shortcut=nn.Identity()
        if plan.is_identity
        else project(details.shortcut, details, *shape, plan.stride, norm=True),
        after=nn.ReLU(inplace=True),
    )


@register.architecture
def resnet20(num_classes: int, residual: Residual) -> nn.Module:
    """ResNet-20 as in the paper: 0.27 M parameters.

    Args:
        num_classes: K.
        residual: The residual port.
    """
    return resnet(num_classes, residual, depth=20)


@register.architecture
def resnet8(num_classes: int, residual: Residual, *, stem_stride: int = 2) -> nn.Module:
    """A ResNet for first runs: one block a group, 78 k parameters, under a minute on a CPU.

    Args:
        num_classes: K.
        residual: The residual port.
        stem_stride: 1 sees every pixel, at four times the cost.
    """
    return resnet(num_classes, residual, depth=8, stem_stride=stem_stride, shortcut="conv1x1")


@register.architecture
def resnet18(num_classes: int, residual: Residual, *, width: int = 64) -> nn.Module:
    """ResNet-18 on small images, as kuangliu/pytorch-cifar made it popular: 11.2 M parameters.

    The ImageNet network of He et al. (2015; arXiv:1512.03385), table 1, whose stem is a 3x3
    convolution of stride 1 without pooling: two blocks each of 64, 128, 256 and 512 channels.

    Args:
        num_classes: K.
        residual: The residual port.
        width: Channels of the stem and the first group.

    Raises:
        ConfigError: ``width`` is below 1.

    Differs from the paper: the stem, and torch's initialisation of the convolutions.
    """
    check_at_least(1, width=width)
    return plain_network(
        num_classes,
        residual,
        TORCH,
        widths=[width, 2 * width, 4 * width, 8 * width],
        blocks_per_group=2,
        strides=(1, 2, 2, 2),
    )
