"""Deep Pyramidal Residual Networks (Han et al., 2017; arXiv:1610.02915)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from cifarzoo import register
from cifarzoo.protocols import Residual
from cifarzoo.zoo.architectures.details import (
    AUTOAUGMENT,
    FLAX2020,
    PAPER,
    Init,
    LayerDetails,
    Padding,
    choose,
)
from cifarzoo.zoo.architectures.limits import blocks_in, check_choice, check_finite
from cifarzoo.zoo.architectures.network import BlockPlan, ResidualBlock, ResidualNetwork, chain
from cifarzoo.zoo.architectures.shortcuts import project

Block = Literal["bottleneck", "basic"]
ChannelRounding = Literal["truncate", "round"]
STEM_CHANNELS = 16


def truncated(width: float) -> int:
    """The whole channels of a width."""
    return int(width)


def rounded(width: float) -> int:
    """The channels nearest to a width."""
    return math.floor(width + 0.5)


ROUNDINGS: Mapping[str, Callable[[float], int]] = {"truncate": truncated, "round": rounded}


@dataclass(frozen=True, kw_only=True)
class Details(LayerDetails):
    """What differs between published PyramidNets.

    Attributes:
        channel_rounding: How a block's width becomes a whole number.
    """

    channel_rounding: ChannelRounding

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(ROUNDINGS, channel_rounding=self.channel_rounding)


VARIANTS = {
    "flax2020": Details(**vars(FLAX2020), channel_rounding="truncate"),
    "paper": Details(**vars(PAPER), channel_rounding="round"),
    "autoaugment": Details(**vars(AUTOAUGMENT), channel_rounding="round"),
}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A kind of block.

    Attributes:
        num_layers: Convolutions in a residual path.
        expansion: Output channels for one of its width.
        make_path: Builds a path.
    """

    num_layers: int
    expansion: int
    make_path: Callable[[Details, BlockPlan], nn.Module]


def bottleneck_path(details: Details, plan: BlockPlan) -> nn.Module:
    """Norm, 1x1, norm, ReLU, 3x3, norm, ReLU, 1x1 to four times the width, norm."""
    width = plan.channels
    return chain(
        norm1=details.norm(plan.in_channels),
        conv1=details.conv(plan.in_channels, width, 1),
        norm2=details.norm(width),
        relu2=nn.ReLU(inplace=True),
        conv2=details.conv(width, width, 3, plan.stride),
        norm3=details.norm(width),
        relu3=nn.ReLU(inplace=True),
        conv3=details.conv(width, 4 * width, 1),
        norm4=details.norm(4 * width),
    )


def basic_path(details: Details, plan: BlockPlan) -> nn.Module:
    """Norm, 3x3, norm, ReLU, 3x3, norm."""
    width = plan.channels
    return chain(
        norm1=details.norm(plan.in_channels),
        conv1=details.conv(plan.in_channels, width, 3, plan.stride),
        norm2=details.norm(width),
        relu2=nn.ReLU(inplace=True),
        conv2=details.conv(width, width, 3),
        norm3=details.norm(width),
    )


UNITS: Mapping[str, Unit] = {
    "bottleneck": Unit(num_layers=3, expansion=4, make_path=bottleneck_path),
    "basic": Unit(num_layers=2, expansion=1, make_path=basic_path),
}


@register.architecture
def pyramidnet(
    num_classes: int,
    residual: Residual,
    *,
    depth: int = 272,
    alpha: float = 200.0,
    block: Block = "bottleneck",
    variant: Literal["flax2020", "paper", "autoaugment"] = "flax2020",
    conv_bias: bool | None = None,
    padding: Padding | None = None,
    bn_momentum: float | None = None,
    bn_eps: float | None = None,
    bn_unbiased: bool | None = None,
    conv_init: Init | None = None,
    dense_init: Init | None = None,
    channel_rounding: ChannelRounding | None = None,
) -> nn.Module:
    """A PyramidNet: every block is a little wider than the last one.

    Deep Pyramidal Residual Networks (Han et al., 2017; arXiv:1610.02915): additive widths
    from 16 to 16 + ``alpha`` (times 4 in bottlenecks), shortcuts without weights, and a norm at
    the end of every residual.

    Args:
        num_classes: K.
        residual: The residual port.
        depth: Layers: 9 n + 2 of bottlenecks, 6 n + 2 of basic blocks.
        alpha: By how many channels the last block is wider than the stem; at least 0.
        block: Three layers with a fourfold output, or two.
        variant: The Flax example of 2020, the authors' code, or AutoAugment's. What follows
            changes one detail of it; None: as it is there.
        conv_bias: Whether convolutions have a bias.
        padding: Of strided convolutions: as XLA's SAME, or the same on all sides.
        bn_momentum: Weight of a step in BatchNorm's running statistics.
        bn_eps: BatchNorm's epsilon.
        bn_unbiased: Whether the running variance is the unbiased one.
        conv_init: Initialiser of convolution kernels.
        dense_init: Initialiser of the classifier's kernel.
        channel_rounding: How widths become whole numbers: cut off, or to the nearest.

    Raises:
        ConfigError: A setting is out of its range.

    Differs from the paper: variant ``flax2020`` has biases, XLA's padding, the biased running
    variance, LeCun's initialisation, and cuts widths off; ``paper`` rounds them as the authors'
    code does, which gives depth 272 0.6 % more parameters than the paper's table has.
    ``autoaugment``, the network in the code of AutoAugment (Cubuk et al., 2019;
    arXiv:1805.09501), rounds too, and has XLA's padding and a classifier that starts uniform
    within 1 / sqrt(K).
    """
    check_choice(UNITS, block=block)
    check_finite(0.0, alpha=alpha)
    unit = UNITS[block]
    blocks_per_group = blocks_in(depth, per_group=3 * unit.num_layers)
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
        channel_rounding=channel_rounding,
    )
    widths = block_widths(alpha, 3 * blocks_per_group, ROUNDINGS[details.channel_rounding])
    plans = [
        BlockPlan(
            in_channels=unit.expansion * widths[index - 1] if index else STEM_CHANNELS,
            channels=width,
            stride=2 if index in (blocks_per_group, 2 * blocks_per_group) else 1,
            index=index + 1,
            total=len(widths),
        )
        for index, width in enumerate(widths)
    ]
    features = unit.expansion * widths[-1]
    return ResidualNetwork(
        stem=chain(conv=details.conv(3, STEM_CHANNELS, 3), norm=details.norm(STEM_CHANNELS)),
        blocks=nn.Sequential(*(pyramid_block(details, plan, unit, residual) for plan in plans)),
        last=chain(norm=details.norm(features), relu=nn.ReLU(inplace=True)),
        head=details.dense(features, num_classes),
    )


def block_widths(alpha: float, total: int, rounding: Callable[[float], int]) -> list[int]:
    """Channels of each of ``total`` blocks.

    The width is summed up in floating point, as the published codes do: where a sum should
    be whole it can come out a little below, which cutting off turns into one channel less.
    """
    widths = []
    width = float(STEM_CHANNELS)
    for _ in range(total):
        width += alpha / total
        widths.append(rounding(width))
    return widths


def pyramid_block(details: Details, plan: BlockPlan, unit: Unit, residual: Residual) -> nn.Module:
    """A residual with a final norm, added to a pooled and zero-padded shortcut."""
    return ResidualBlock(
        residual=residual(lambda: unit.make_path(details, plan), plan.site(final_norm=True)),
        shortcut=project(
            "pool_pad", details, plan.in_channels, unit.expansion * plan.channels, plan.stride
        ),
    )


@register.architecture
def pyramid(num_classes: int, residual: Residual) -> nn.Module:
    """The Flax example's PyramidNet-272 of alpha 200: 26.1 M parameters.

    Args:
        num_classes: K.
        residual: The residual port.
    """
    return pyramidnet(num_classes, residual, depth=272, alpha=200.0)
