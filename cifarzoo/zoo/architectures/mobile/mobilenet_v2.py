"""MobileNetV2 (Sandler et al., 2018; arXiv:1801.04381) on small images."""

from __future__ import annotations

from torch import nn

from cifarzoo import register
from cifarzoo.layers.dropout import Dropout
from cifarzoo.protocols import (
    Fraction,
    Layers,
    LayersFactory,
    PositiveFloat,
    Residual,
    check_settings,
)
from cifarzoo.zoo.architectures.residual.blocks import (
    BlockPlan,
    ResidualBlock,
    ResidualNetwork,
    chain,
)
from cifarzoo.zoo.architectures.variants import make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers

# Expansion t, channels c, blocks n and stride s of each group: table 2, but for the strides of the
# stem and of the second group, which are 2 there, for images of 224 pixels.
GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS, LAST_CHANNELS = 32, 1280


def divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor`` that is at most a tenth lower, as the authors have it."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor


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
    stem = conv_norm_relu(make, in_channels, width, 3)
    shapes = [
        (expansion, divisible(channels * width_factor), stride if first else 1)
        for expansion, channels, num_blocks, stride in GROUPS
        for first in [True] + [False] * (num_blocks - 1)
    ]
    inputs = [width, *(channels for _, channels, _ in shapes)]
    total = sum(
        stride == 1 and channels == before
        for (_, channels, stride), before in zip(shapes, inputs, strict=False)
    )
    blocks: list[nn.Module] = []
    index = 0
    for expansion, channels, stride in shapes:
        plan = BlockPlan(
            in_channels=width, channels=channels, stride=stride, index=index + 1, total=total
        )
        index += plan.is_identity
        blocks.append(inverted_block(make, plan, residual, expansion=expansion))
        width = channels
    return ResidualNetwork(
        stem=stem,
        blocks=nn.Sequential(*blocks),
        last=conv_norm_relu(make, width, last, 1),
        head=chain(
            dropout=Dropout(dropout_rate) if dropout_rate else None,
            dense=make.dense(last, num_classes),
        ),
    )


def conv_norm_relu(
    make: Layers,
    in_channels: int,
    channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
) -> nn.Sequential:
    """A convolution, a norm, and a ReLU that ends at 6."""
    return chain(
        conv=make.conv(in_channels, channels, kernel_size, stride, groups=groups),
        norm=make.norm(channels),
        relu=nn.ReLU6(inplace=True),
    )


def inverted_block(
    make: Layers, plan: BlockPlan, residual: Residual, *, expansion: int
) -> nn.Module:
    """1x1 to ``expansion`` times the channels, a depthwise 3x3, and 1x1 without a ReLU."""
    inner = expansion * plan.in_channels

    def make_path() -> nn.Module:
        return chain(
            expand=conv_norm_relu(make, plan.in_channels, inner, 1) if expansion > 1 else None,
            depthwise=conv_norm_relu(make, inner, inner, 3, plan.stride, groups=inner),
            conv=make.conv(inner, plan.channels, 1),
            norm=make.norm(plan.channels),
        )

    if not plan.is_identity:
        return make_path()
    return ResidualBlock(
        residual=residual(make_path, plan.site(final_norm=True)), shortcut=nn.Identity()
    )
