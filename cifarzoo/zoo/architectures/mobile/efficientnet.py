"""EfficientNet-B0 on small images (Tan and Le, 2019; arXiv:1905.11946)."""

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

# Expansion, channels, blocks, stride and kernel size of each stage: table 1.
STAGES = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)
FORM = Form(act=nn.SiLU, is_gated=True)
STEM_CHANNELS, LAST_CHANNELS = 32, 1280


@register.architecture
def efficientnet_b0(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    width_factor: PositiveFloat = 1.0,
    dropout_rate: Fraction = 0.2,
    layers: LayersFactory | None = None,
) -> nn.Module:
    """EfficientNet-B0: MobileNetV2's blocks with squeeze-and-excitation, as a search found them.

    EfficientNet (Tan and Le, 2019; arXiv:1905.11946), table 1. The stem doesn't halve the image.
    The paper's stochastic depth is a regularizer here: ``@stochastic_depth``.

    Args:
        num_classes: K.
        residual: The residual port, of the blocks that have a shortcut.
        in_channels: Channels of the images.
        width_factor: Factor on all channels, the paper's w.
        dropout_rate: Share of the last features that is dropped, the paper's 0.2.
        layers: What convolutions, norms and the classifier are made with; None: ``he2015_layers``.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(efficientnet_b0, locals())
    make = make_layers(layers or he2015_layers)
    width, last = (divisible(each * width_factor) for each in (STEM_CHANNELS, LAST_CHANNELS))
    stages = widened_stages(STAGES, width_factor)
    # Before the stem: the order in which a seed's first weights have always been drawn.
    blocks = inverted_blocks(make, FORM, stages, residual, in_channels=width)
    return ResidualNetwork(
        stem=conv_norm_act(make, in_channels, width, 3, act=FORM.act),
        blocks=blocks,
        last=conv_norm_act(make, stages[-1].channels, last, 1, act=FORM.act),
        head=chain(
            dropout=Dropout(dropout_rate) if dropout_rate else None,
            dense=make.dense(last, num_classes),
        ),
    )
