"""Deep Pyramidal Residual Networks (Han et al., 2017; arXiv:1610.02915)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from cifarzoo import register
from cifarzoo.protocols import (
    Layers,
    LayersFactory,
    NonNegativeFloat,
    PositiveInt,
    Residual,
    check_settings,
)
from cifarzoo.zoo.architectures.residual.blocks import (
    BlockPlan,
    ResidualBlock,
    ResidualNetwork,
    chain,
    pool_pad,
)
from cifarzoo.zoo.architectures.residual.depths import blocks_in
from cifarzoo.zoo.architectures.variants import choose, make_layers
from cifarzoo.zoo.layers.conventions import autoaugment_layers, flax2020_layers, paper_layers

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
class Variant:
    """What differs between published PyramidNets; ``pyramidnet`` says what each word means."""

    layers: LayersFactory
    channel_rounding: ChannelRounding


VARIANTS = {
    "flax2020": Variant(layers=flax2020_layers, channel_rounding="truncate"),
    "paper": Variant(layers=paper_layers, channel_rounding="round"),
    "paper_table": Variant(layers=paper_layers, channel_rounding="truncate"),
    "autoaugment": Variant(layers=autoaugment_layers, channel_rounding="round"),
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
    make_path: Callable[[Layers, BlockPlan], nn.Module]


def bottleneck_path(make: Layers, plan: BlockPlan) -> nn.Module:
    """Norm, 1x1, norm, ReLU, 3x3, norm, ReLU, 1x1 to four times the width, norm."""
    width = plan.channels
    return chain(
        norm1=make.norm(plan.in_channels),
        conv1=make.conv(plan.in_channels, width, 1),
        norm2=make.norm(width),
        relu2=nn.ReLU(inplace=True),
        conv2=make.conv(width, width, 3, plan.stride),
        norm3=make.norm(width),
        relu3=nn.ReLU(inplace=True),
        conv3=make.conv(width, 4 * width, 1),
        norm4=make.norm(4 * width),
    )


def basic_path(make: Layers, plan: BlockPlan) -> nn.Module:
    """Norm, 3x3, norm, ReLU, 3x3, norm."""
    width = plan.channels
    return chain(
        norm1=make.norm(plan.in_channels),
        conv1=make.conv(plan.in_channels, width, 3, plan.stride),
        norm2=make.norm(width),
        relu2=nn.ReLU(inplace=True),
        conv2=make.conv(width, width, 3),
        norm3=make.norm(width),
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
    in_channels: int = 3,
    depth: PositiveInt = 272,
    alpha: NonNegativeFloat = 200.0,
    block: Block = "bottleneck",
    variant: Literal["flax2020", "paper", "paper_table", "autoaugment"] = "flax2020",
    layers: LayersFactory | None = None,
    channel_rounding: ChannelRounding | None = None,
) -> nn.Module:
    """A PyramidNet: every block is a little wider than the last one.

    Deep Pyramidal Residual Networks (Han et al., 2017; arXiv:1610.02915): additive widths
    from 16 to 16 + ``alpha`` (times 4 in bottlenecks), shortcuts without weights, and a norm at
    the end of every residual.

    Args:
        num_classes: K.
        residual: The residual port.
        in_channels: Channels of the images.
        depth: Layers: 9 n + 2 of bottlenecks, 6 n + 2 of basic blocks.
        alpha: By how many channels the last block is wider than the stem; at least 0.
        block: Three layers with a fourfold output, or two.
        variant: The Flax example of 2020, the authors' code, that with the widths of the
            paper's table, or AutoAugment's. What follows changes one part of it; None: as it
            is there.
        layers: What convolutions, norms and the classifier are made with.
        channel_rounding: How widths become whole numbers: cut off, or to the nearest.

    Raises:
        ConfigError: A setting is out of its range.

    Differs from the paper: variant ``flax2020`` has ``flax2020_layers`` and cuts widths off.
    ``paper`` rounds them as the authors' code does, which gives depth 272 0.6 % more parameters
    than the paper's table has; ``paper_table`` cuts them off. ``autoaugment``, the network in
    the code of AutoAugment (Cubuk et al., 2019; arXiv:1805.09501), rounds them and has
    ``autoaugment_layers``.
    """
    check_settings(pyramidnet, locals())
    unit = UNITS[block]
    blocks_per_group = blocks_in(depth, per_group=3 * unit.num_layers)
    form = choose(VARIANTS, variant, layers=layers, channel_rounding=channel_rounding)
    make = make_layers(form.layers)
    widths = block_widths(alpha, 3 * blocks_per_group, ROUNDINGS[form.channel_rounding])
    plans = [
        BlockPlan(
            in_channels=unit.expansion * widths[index - 1] if index else STEM_CHANNELS,
            channels=width,
            stride=2 if index in (blocks_per_group, 2 * blocks_per_group) else 1,
            index=index + 1,
            total=len(widths),
            expansion=unit.expansion,
        )
        for index, width in enumerate(widths)
    ]
    features = unit.expansion * widths[-1]
    return ResidualNetwork(
        stem=chain(conv=make.conv(in_channels, STEM_CHANNELS, 3), norm=make.norm(STEM_CHANNELS)),
        blocks=nn.Sequential(*(pyramid_block(make, plan, unit, residual) for plan in plans)),
        last=chain(norm=make.norm(features), relu=nn.ReLU(inplace=True)),
        head=make.dense(features, num_classes),
    )


def block_widths(alpha: float, total: int, rounding: Callable[[float], int]) -> list[int]:
    """Channels of each of ``total`` blocks, by equation 2 of the paper.

    The width is summed up in floating point, as the published codes do: where a sum should
    be whole it can come out a little below, which cutting off turns into one channel less.
    """
    widths = []
    width = float(STEM_CHANNELS)
    for _ in range(total):
        width += alpha / total
        widths.append(rounding(width))
    return widths


def pyramid_block(make: Layers, plan: BlockPlan, unit: Unit, residual: Residual) -> nn.Module:
    """A residual with a final norm, added to a pooled and zero-padded shortcut."""
    return ResidualBlock(
        residual=residual(lambda: unit.make_path(make, plan), plan.site(final_norm=True)),
        shortcut=chain(conv=pool_pad(make, plan)),
    )
