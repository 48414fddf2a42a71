"""GoogLeNet with norms, on small images (Szegedy et al., 2015; arXiv:1409.4842)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import Layers, LayersFactory, PositiveFloat, check_settings
from cifarzoo.zoo.architectures.residual.blocks import (
    ResidualNetwork,
    chain,
    conv_norm_act,
    widened,
)
from cifarzoo.zoo.architectures.variants import make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers

# Channels of a module's parts, table 1: 1x1; 3x3 and what comes before it; 5x5 likewise; pooling.
MODULES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
STEM_CHANNELS = 192


class Inception(nn.Module):
    """Four parts side by side, whose channels are put together (figure 2b)."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Features of x (N, C, H, W)."""
        return torch.cat([part(x) for part in self.parts], 1)


@register.architecture
def googlenet(
    num_classes: int,
    *,
    in_channels: int = 3,
    width_factor: PositiveFloat = 1.0,
    layers: LayersFactory | None = None,
) -> nn.Module:
    """GoogLeNet with norms: nine modules of 1x1, 3x3 and 5x5 convolutions side by side.

    Going Deeper with Convolutions (Szegedy et al., 2015; arXiv:1409.4842), table 1. The stem is one
    3x3 convolution to 192 channels that doesn't halve the image, and each 5x5 is two 3x3
    convolutions, as in kuangliu/pytorch-cifar.

    Args:
        num_classes: K.
        in_channels: Channels of the images.
        width_factor: Factor on all channels.
        layers: What convolutions, norms and the classifier are made with; None: ``he2015_layers``.

    Raises:
        ConfigError: A setting is out of its range.

    Differs from the paper: norms, and no auxiliary classifiers.
    """
    check_settings(googlenet, locals())
    make = make_layers(layers or he2015_layers)
    width = stem_channels = widened(STEM_CHANNELS, width_factor)
    groups: list[nn.Module] = []
    for number, group in enumerate(MODULES):
        parts: list[nn.Module] = [nn.MaxPool2d(3, 2, 1)] if number else []
        for row in group:
            shape = tuple(widened(channels, width_factor) for channels in row)
            parts.append(inception(make, width, shape))
            one, _, three, _, five, pooled = shape
            width = one + three + five + pooled
        groups.append(nn.Sequential(*parts))
    return ResidualNetwork(
        stem=conv_norm_act(make, in_channels, stem_channels, 3),
        blocks=nn.Sequential(*groups),
        last=nn.Identity(),
        head=make.dense(width, num_classes),
    )


def inception(make: Layers, in_channels: int, shape: tuple[int, ...]) -> nn.Module:
    """A module with ``shape`` channels, a row of the table."""
    one, before_three, three, before_five, five, pooled = shape
    return Inception(
        conv_norm_act(make, in_channels, one, 1),
        chain(
            reduce=conv_norm_act(make, in_channels, before_three, 1),
            conv=conv_norm_act(make, before_three, three, 3),
        ),
        chain(
            reduce=conv_norm_act(make, in_channels, before_five, 1),
            conv1=conv_norm_act(make, before_five, five, 3),
            conv2=conv_norm_act(make, five, five, 3),
        ),
        chain(pool=nn.MaxPool2d(3, 1, 1), conv=conv_norm_act(make, in_channels, pooled, 1)),
    )
