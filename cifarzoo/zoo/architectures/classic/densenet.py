"""DenseNets: layers that see all features before them (Huang et al., 2017; arXiv:1608.06993)."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.layers.dropout import Dropout
from cifarzoo.protocols import Fraction, Layers, LayersFactory, PositiveInt, check_settings
from cifarzoo.zoo.architectures.residual.blocks import ResidualNetwork, chain
from cifarzoo.zoo.architectures.residual.depths import blocks_in
from cifarzoo.zoo.architectures.variants import make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers

NUM_BLOCKS = 3


class DenseLayer(nn.Module):
    """Adds the channels that ``new`` makes of its input behind the input's own."""

    def __init__(self, new: nn.Module) -> None:
        super().__init__()
        self.new = new

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C + growth_rate, H, W) of x (N, C, H, W)."""
        return torch.cat([x, self.new(x)], 1)


@register.architecture
def densenet(
    num_classes: int,
    *,
    in_channels: int = 3,
    depth: PositiveInt = 100,
    growth_rate: PositiveInt = 12,
    bottleneck: bool = True,
    reduction: Annotated[float, Gt(0), Le(1)] = 0.5,
    stem_channels: PositiveInt | None = None,
    dropout_rate: Fraction = 0.0,
    layers: LayersFactory | None = None,
) -> nn.Module:
    """A DenseNet: each layer adds a few channels to all those before it.

    Densely Connected Convolutional Networks (Huang et al., 2017; arXiv:1608.06993), section 3:
    three blocks of as many layers each, between them a 1x1 convolution and a mean over 2x2 pixels.
    DenseNet-BC has bottlenecks of four times ``growth_rate`` channels, and transitions that halve
    the channels; a DenseNet without either has ``bottleneck`` False and ``reduction`` 1.

    Args:
        num_classes: K.
        in_channels: Channels of the images.
        depth: Layers: 6 n + 4 with bottlenecks, 3 n + 4 without.
        growth_rate: Channels that a layer adds, the paper's k.
        bottleneck: Whether layers begin with a 1x1 convolution (the B of BC).
        reduction: Share of the channels that transitions keep, above 0 to 1 (the C of BC).
        stem_channels: Channels of the first convolution; None: twice ``growth_rate`` with
            bottlenecks and 16 without, as in the paper. hysts/pytorch_image_classification has the
            former in both.
        dropout_rate: Share of single activations dropped after each convolution but the first; the
            paper has 0.2 without augmentation.
        layers: What convolutions, norms and the classifier are made with; None: ``he2015_layers``.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(densenet, locals())
    per_block = NUM_BLOCKS * (2 if bottleneck else 1)
    num_layers = blocks_in(depth, per_group=per_block, outside=NUM_BLOCKS + 1)
    make = make_layers(layers or he2015_layers)
    width = stem_channels or (2 * growth_rate if bottleneck else 16)
    stem = chain(conv=make.conv(in_channels, width, 3))
    parts: list[nn.Module] = []
    for block in range(NUM_BLOCKS):
        if block:
            kept = int(width * reduction)
            parts.append(transition(make, width, kept, dropout_rate=dropout_rate))
            width = kept
        dense_layers = []
        for _ in range(num_layers):
            new = dense_path(
                make, width, growth_rate, bottleneck=bottleneck, dropout_rate=dropout_rate
            )
            dense_layers.append(DenseLayer(new))
            width += growth_rate
        parts.append(nn.Sequential(*dense_layers))
    return ResidualNetwork(
        stem=stem,
        blocks=nn.Sequential(*parts),
        last=chain(norm=make.norm(width), relu=nn.ReLU(inplace=True)),
        head=make.dense(width, num_classes),
    )


def dense_path(
    make: Layers, in_channels: int, growth_rate: int, *, bottleneck: bool, dropout_rate: float
) -> nn.Module:
    """Norm, ReLU and a 3x3 convolution to ``growth_rate`` channels; with a bottleneck before."""
    inner = 4 * growth_rate if bottleneck else in_channels
    return chain(
        norm1=make.norm(in_channels),
        relu1=nn.ReLU(inplace=True),
        conv1=make.conv(in_channels, inner, 1) if bottleneck else None,
        dropout1=dropout(dropout_rate) if bottleneck else None,
        norm2=make.norm(inner) if bottleneck else None,
        relu2=nn.ReLU(inplace=True) if bottleneck else None,
        conv2=make.conv(inner, growth_rate, 3),
        dropout2=dropout(dropout_rate),
    )


def transition(make: Layers, in_channels: int, channels: int, *, dropout_rate: float) -> nn.Module:
    """Norm, ReLU, a 1x1 convolution and the mean over 2x2 pixels."""
    return chain(
        norm=make.norm(in_channels),
        relu=nn.ReLU(inplace=True),
        conv=make.conv(in_channels, channels, 1),
        dropout=dropout(dropout_rate),
        pool=nn.AvgPool2d(2),
    )


def dropout(rate: float) -> nn.Module | None:
    """Dropout, unless its rate is 0."""
    return Dropout(rate) if rate else None
