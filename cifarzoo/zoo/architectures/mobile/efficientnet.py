"""EfficientNet-B0 on small images (Tan and Le, 2019; arXiv:1905.11946)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.layers.dropout import Dropout
from cifarzoo.protocols import Fraction, Layers, LayersFactory, Residual, check_settings
from cifarzoo.zoo.architectures.residual.blocks import (
    BlockPlan,
    ResidualBlock,
    ResidualNetwork,
    chain,
)
from cifarzoo.zoo.architectures.variants import make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers

# Expansion, channels, blocks, stride and kernel size of each stage: table 1.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM_CHANNELS, LAST_CHANNELS = 32, 1280


class ChannelGate(nn.Module):
    """Squeeze-and-excitation by 1x1 convolutions (Hu et al., 2018; arXiv:1709.01507).

    Args:
        channels: C.
        inner: Units between both layers.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, inner, 1)
        self.excite = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The features (N, C, H, W), scaled channel by channel."""
        means = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.excite(nn.functional.silu(self.squeeze(means))))


@register.architecture
def efficientnet_b0(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
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
        dropout_rate: Share of the last features that is dropped, the paper's 0.2.
        layers: What convolutions, norms and the classifier are made with; None: ``he2015_layers``.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(efficientnet_b0, locals())
    make = make_layers(layers or he2015_layers)
    shapes = [
        (expansion, channels, stride if first else 1, kernel_size)
        for expansion, channels, num_blocks, stride, kernel_size in STAGES
        for first in [True] + [False] * (num_blocks - 1)
    ]
    total = sum(num_blocks - 1 for _, _, num_blocks, _, _ in STAGES)
    blocks: list[nn.Module] = []
    width, index = STEM_CHANNELS, 0
    for expansion, channels, stride, kernel_size in shapes:
        plan = BlockPlan(
            in_channels=width, channels=channels, stride=stride, index=index + 1, total=total
        )
        index += plan.is_identity
        blocks.append(gated_block(make, plan, residual, expansion, kernel_size))
        width = channels
    return ResidualNetwork(
        stem=conv_norm_silu(make, in_channels, STEM_CHANNELS, 3),
        blocks=nn.Sequential(*blocks),
        last=conv_norm_silu(make, width, LAST_CHANNELS, 1),
        head=chain(
            dropout=Dropout(dropout_rate) if dropout_rate else None,
            dense=make.dense(LAST_CHANNELS, num_classes),
        ),
    )


def conv_norm_silu(
    make: Layers,
    in_channels: int,
    channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
) -> nn.Sequential:
    """A convolution, a norm and a SiLU."""
    return chain(
        conv=make.conv(in_channels, channels, kernel_size, stride, groups=groups),
        norm=make.norm(channels),
        silu=nn.SiLU(inplace=True),
    )


def gated_block(
    make: Layers, plan: BlockPlan, residual: Residual, expansion: int, kernel_size: int
) -> nn.Module:
    """1x1 to ``expansion`` times the channels, a depthwise convolution, a gate, and 1x1."""
    inner = expansion * plan.in_channels

    def make_path() -> nn.Module:
        return chain(
            expand=conv_norm_silu(make, plan.in_channels, inner, 1) if expansion > 1 else None,
            depthwise=conv_norm_silu(make, inner, inner, kernel_size, plan.stride, groups=inner),
            gate=ChannelGate(inner, plan.in_channels // 4),
            conv=make.conv(inner, plan.channels, 1),
            norm=make.norm(plan.channels),
        )

    if not plan.is_identity:
        return make_path()
    return ResidualBlock(
        residual=residual(make_path, plan.site(final_norm=True)), shortcut=nn.Identity()
    )
