"""RegNetX on small images (Radosavovic et al., 2020; arXiv:2003.13678)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import LayersFactory, PositiveInt, Residual, check_settings
from cifarzoo.zoo.architectures.residual.blocks import (
    ResidualNetwork,
    build_groups,
    conv_norm_act,
)
from cifarzoo.zoo.architectures.residual.bottleneck import bottleneck_block
from cifarzoo.zoo.architectures.variants import make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers

STEM_CHANNELS = 32


@register.architecture
def regnet_x(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    widths: Sequence[PositiveInt] = (24, 56, 152, 368),
    blocks: Sequence[PositiveInt] = (1, 1, 4, 7),
    group_width: PositiveInt = 8,
    layers: LayersFactory | None = None,
) -> nn.Module:
    """A RegNetX: bottlenecks that aren't narrower inside, of grouped convolutions.

    Designing Network Design Spaces (Radosavovic et al., 2020; arXiv:2003.13678), section 3.4,
    figure 4 and table 8: 1x1, grouped 3x3 and 1x1 convolutions of one width. Neither the stem nor
    the first group halves the image, so that 4 x 4 pixels of 32 x 32 are left.

    Args:
        num_classes: K.
        residual: The residual port.
        in_channels: Channels of the images.
        widths: Channels of each group of blocks, multiples of ``group_width``.
        blocks: Blocks of each group.
        group_width: Channels of a group of a 3x3 convolution.
        layers: What convolutions, norms and the classifier are made with; None: ``he2015_layers``.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(regnet_x, locals())
    if len(widths) != len(blocks) or not widths:
        raise ConfigError(
            f"is {list(blocks)}; expected a number for each of {len(widths)} widths",
            parameter="blocks",
        )
    if any(width % group_width for width in widths):
        raise ConfigError(
            f"is {group_width!r}; expected a divisor of each of {list(widths)}",
            parameter="group_width",
        )
    make = make_layers(layers or he2015_layers)
    return ResidualNetwork(
        stem=conv_norm_act(make, in_channels, STEM_CHANNELS, 3),
        blocks=build_groups(
            lambda plan: bottleneck_block(
                make, plan, residual, inner=plan.channels, groups=plan.channels // group_width
            ),
            in_channels=STEM_CHANNELS,
            widths=widths,
            blocks_per_group=blocks,
        ),
        last=nn.Identity(),
        head=make.dense(widths[-1], num_classes),
    )
