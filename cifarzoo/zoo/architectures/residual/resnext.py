"""ResNeXt: bottlenecks of many narrow paths (Xie et al., 2017; arXiv:1611.05431)."""

from __future__ import annotations

from torch import nn

from cifarzoo import register
from cifarzoo.protocols import Layers, LayersFactory, PositiveInt, Residual, check_settings
from cifarzoo.zoo.architectures.residual.blocks import (
    BlockPlan,
    ResidualBlock,
    ResidualNetwork,
    build_groups,
    chain,
    conv1x1,
)
from cifarzoo.zoo.architectures.residual.depths import blocks_in
from cifarzoo.zoo.architectures.variants import make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers

STEM_CHANNELS = 64
EXPANSION = 4  # of 64 channels: blocks give 256, 512 and 1024


@register.architecture
def resnext(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    depth: PositiveInt = 29,
    cardinality: PositiveInt = 8,
    base_width: PositiveInt = 64,
    layers: LayersFactory | None = None,
) -> nn.Module:
    """A ResNeXt of depth 9 n + 2, whose 3x3 convolutions have groups.

    Aggregated Residual Transformations for Deep Neural Networks (Xie et al., 2017;
    arXiv:1611.05431), section 5.3: n bottlenecks each that give 256, 512 and 1024 channels; their
    3x3 convolutions have ``cardinality`` groups of ``base_width`` channels in the first group of
    blocks, and of twice as many in each further one.

    Args:
        num_classes: K.
        residual: The residual port.
        in_channels: Channels of the images.
        depth: Layers, 9 n + 2.
        cardinality: Groups of a 3x3 convolution, the paper's C.
        base_width: Channels of one of them in the first group of blocks, the paper's d.
        layers: What convolutions, norms and the classifier are made with; None: ``he2015_layers``.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(resnext, locals())
    make = make_layers(layers or he2015_layers)
    widths = [STEM_CHANNELS * 2**group for group in range(3)]
    return ResidualNetwork(
        stem=chain(
            conv=make.conv(in_channels, STEM_CHANNELS, 3),
            norm=make.norm(STEM_CHANNELS),
            relu=nn.ReLU(inplace=True),
        ),
        blocks=build_groups(
            lambda plan: aggregated_block(
                make,
                plan,
                residual,
                cardinality=cardinality,
                inner=cardinality * base_width * plan.channels // STEM_CHANNELS,
            ),
            in_channels=STEM_CHANNELS,
            widths=widths,
            blocks_per_group=blocks_in(depth, per_group=9),
            expansion=EXPANSION,
        ),
        last=nn.Identity(),
        head=make.dense(EXPANSION * widths[-1], num_classes),
    )


def aggregated_block(
    make: Layers, plan: BlockPlan, residual: Residual, *, cardinality: int, inner: int
) -> nn.Module:
    """A bottleneck with a grouped convolution (figure 3c).

    Args:
        make: What layers are made with.
        plan: Shape and place of the block.
        residual: The residual port.
        cardinality: Groups of the 3x3 convolution.
        inner: Channels of all its groups.
    """

    def make_path() -> nn.Module:
        return chain(
            conv1=make.conv(plan.in_channels, inner, 1),
            norm1=make.norm(inner),
            relu1=nn.ReLU(inplace=True),
            conv2=make.conv(inner, inner, 3, plan.stride, groups=cardinality),
            norm2=make.norm(inner),
            relu2=nn.ReLU(inplace=True),
            conv3=make.conv(inner, plan.out_channels, 1),
            norm3=make.norm(plan.out_channels),
        )

    return ResidualBlock(
        residual=residual(make_path, plan.site(final_norm=True)),
        shortcut=nn.Identity()
        if plan.is_identity
        else chain(conv=conv1x1(make, plan), norm=make.norm(plan.out_channels)),
        after=nn.ReLU(inplace=True),
    )
