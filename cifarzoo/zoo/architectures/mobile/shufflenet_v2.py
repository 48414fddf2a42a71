"""ShuffleNetV2 on small images (Ma et al., 2018; arXiv:1807.11164)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import Layers, LayersFactory, check_settings
from cifarzoo.zoo.architectures.residual.blocks import (
    ResidualNetwork,
    chain,
    conv_norm_act,
)
from cifarzoo.zoo.architectures.variants import make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers

Width = Literal["0.5", "1", "1.5", "2"]
WIDTHS = {  # of the three stages and of the last convolution, table 5
    "0.5": (48, 96, 192, 1024),
    "1": (116, 232, 464, 1024),
    "1.5": (176, 352, 704, 1024),
    "2": (244, 488, 976, 2048),
}
BLOCKS = (4, 8, 4)
STEM_CHANNELS = 24


def shuffled(x: Tensor) -> Tensor:
    """Channels of (N, C, H, W) so that those of both halves alternate."""
    count, channels, height, width = x.shape
    halves = x.reshape(count, 2, channels // 2, height, width)
    return halves.transpose(1, 2).reshape(x.shape)


class ShuffleBlock(nn.Module):
    """Two branches side by side, whose channels are shuffled.

    Args:
        branch: Branch of the block.
        shortcut: The other one, which sees all channels too; None: it is half of them, as they
            are, and ``branch`` sees the other half.
    """

    def __init__(self, *, shortcut: nn.Module | None, branch: nn.Module) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """Features of x (N, C, H, W); figure 3 (c) and (d)."""
        if self.shortcut is None:
            kept, changed = x.chunk(2, 1)
            return shuffled(torch.cat([kept, self.branch(changed)], 1))
        return shuffled(torch.cat([self.shortcut(x), self.branch(x)], 1))


@register.architecture
def shufflenet_v2(
    num_classes: int,
    *,
    in_channels: int = 3,
    width: Width = "1",
    layers: LayersFactory | None = None,
) -> nn.Module:
    """ShuffleNetV2: half of the channels pass each block, and all are shuffled behind it.

    ShuffleNet V2 (Ma et al., 2018; arXiv:1807.11164), table 5. The stem doesn't halve the image,
    so that 4 x 4 pixels of 32 x 32 are left, as codes for CIFAR have it.

    Args:
        num_classes: K.
        in_channels: Channels of the images.
        width: Column of the table: 0.5, 1, 1.5 or 2 times the channels.
        layers: What convolutions, norms and the classifier are made with; None: ``he2015_layers``.

    Raises:
        ConfigError: There is no such ``width``.
    """
    check_settings(shufflenet_v2, locals())
    make = make_layers(layers or he2015_layers)
    *widths, last = WIDTHS[width]
    stages: list[nn.Module] = []
    before = STEM_CHANNELS
    for channels, num_blocks in zip(widths, BLOCKS, strict=True):
        blocks = [reducing_block(make, before, channels)]
        blocks += [half_block(make, channels) for _ in range(num_blocks - 1)]
        stages.append(nn.Sequential(*blocks))
        before = channels
    return ResidualNetwork(
        stem=conv_norm_act(make, in_channels, STEM_CHANNELS, 3),
        blocks=nn.Sequential(*stages),
        last=conv_norm_act(make, before, last, 1),
        head=make.dense(last, num_classes),
    )


def depthwise(make: Layers, channels: int, stride: int) -> nn.Sequential:
    """A 3x3 convolution of each channel by itself, and a norm."""
    return conv_norm_act(make, channels, channels, 3, stride, groups=channels, act=None)


def path(make: Layers, in_channels: int, channels: int, stride: int) -> nn.Sequential:
    """1x1, depthwise 3x3 and 1x1 convolutions."""
    return chain(
        expand=conv_norm_act(make, in_channels, channels, 1),
        depthwise=depthwise(make, channels, stride),
        project=conv_norm_act(make, channels, channels, 1),
    )


def half_block(make: Layers, channels: int) -> nn.Module:
    """A block that changes half of its channels (figure 3 c)."""
    return ShuffleBlock(shortcut=None, branch=path(make, channels // 2, channels // 2, 1))


def reducing_block(make: Layers, in_channels: int, channels: int) -> nn.Module:
    """A block that halves the image (figure 3 d)."""
    shortcut = chain(
        depthwise=depthwise(make, in_channels, 2),
        project=conv_norm_act(make, in_channels, channels // 2, 1),
    )
    return ShuffleBlock(shortcut=shortcut, branch=path(make, in_channels, channels // 2, 2))
