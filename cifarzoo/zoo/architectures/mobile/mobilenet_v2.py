"""MobileNetV2 (Sandler et al., 2018; arXiv:1801.04381) on small images."""

from __future__ import annotations

from torch import nn

from cifarzoo import register
from cifarzoo.layers.dropout import Dropout
from cifarzoo.protocols import (
    Fraction,
    LayersFactory,
    PositiveFloat,
    Residual,
    check_settings,
)
from cifarzoo.zoo.architectures.mobile.inverted import (
    Form,
    Stage,
    divisible,
    inverted_blocks,
    widened_stages,
)
from cifarzoo.zoo.architectures.residual.blocks import ResidualNetwork, chain, conv_norm_act
from cifarzoo.zoo.architectures.variants import make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers

# Expansion t, channels c, blocks n and stride s of each group: table 2, but for the strides of the
# stem and of the second group, which are 2 there, for images of 224 pixels.
STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 1),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
FORM = Form(act=nn.ReLU6, is_gated=False)
STEM_CHANNELS, LAST_CHANNELS = 32, 1280


@register.architecture
def mobilenet_v2(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    width_factor: PositiveFloat = 1.0,
    dropout_rate: Fraction = 0.0,
    layers: LayersFactory | None = None,
) -> nn.Module:
    """MobileNetV2: bottlenecks that are wide inside, of depthwise convolutions.

    MobileNetV2: Inverted Residuals and Linear Bottlenecks (Sandler et al., 2018;
    arXiv:1801.04381), table 2. The stem and the second group don't halve the image, so that 4 x 4
    pixels of 32 x 32 are left, as codes for CIFAR have it.

    Args:
        num_classes: K.
        residual: The residual port, of the blocks that have a shortcut.
        in_channels: Channels of the images.
        width_factor: Factor on all channels but the last, which don't become fewer.
        dropout_rate: Share of the last features that is dropped.
        layers: What convolutions, norms and the classifier are made with; None: ``he2015_layers``.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(mobilenet_v2, locals())
    make = make_layers(layers or he2015_layers)
    width = divisible(STEM_CHANNELS * width_factor)
    last = divisible(LAST_CHANNELS * max(1.0, width_factor))
    stages = widened_stages(STAGES, width_factor)
    return ResidualNetwork(
        stem=conv_norm_act(make, in_channels, width, 3, act=FORM.act),
        blocks=inverted_blocks(make, FORM, stages, residual, in_channels=width),
        last=conv_norm_act(make, stages[-1].channels, last, 1, act=FORM.act),
        head=chain(
            dropout=Dropout(dropout_rate) if dropout_rate else None,
            dense=make.dense(last, num_classes),
        ),
    )
