"""What carries a block's input past it where channels or image size change."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.zoo.architectures.details import LayerDetails
from cifarzoo.zoo.architectures.network import chain


class TwoPath(nn.Module):
    """Two strided 1x1 convolutions, each with half of the channels, on grids a pixel apart.

    The shortcut of Shake-Shake (Gastaldi, 2017; arXiv:1705.07485), with the second grid
    shifted to the top left, as in the author's code.

    Args:
        details: Makes the convolutions.
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: Of both paths.
    """

    def __init__(self, details: LayerDetails, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = details.conv(in_channels, channels // 2, 1, stride)
        self.conv2 = details.conv(in_channels, channels - channels // 2, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        shifted = F.pad(x, (1, -1, 1, -1))
        return torch.cat([self.conv1(x), self.conv2(shifted)], dim=1)


def conv3x3(details: LayerDetails, in_channels: int, channels: int, stride: int) -> nn.Module:
    """A 3x3 convolution."""
    return details.conv(in_channels, channels, 3, stride)


def conv1x1(details: LayerDetails, in_channels: int, channels: int, stride: int) -> nn.Module:
    """A 1x1 convolution."""
    return details.conv(in_channels, channels, 1, stride)


def pool_pad(stride: int) -> nn.Module:
    """The mean over stride by stride pixels; the block's sum takes missing channels as zeros."""
    return chain(pool=nn.AvgPool2d(stride) if stride > 1 else None)


def subsample_pad(stride: int) -> nn.Module:
    """Every stride-th pixel; the block's sum takes missing channels as zeros."""
    return chain(pool=nn.AvgPool2d(1, stride) if stride > 1 else None)


LEARNED: Mapping[str, Callable[[LayerDetails, int, int, int], nn.Module]] = {
    "conv3x3": conv3x3,
    "conv1x1": conv1x1,
    "two_path": TwoPath,
}
FIXED: Mapping[str, Callable[[int], nn.Module]] = {
    "pool_pad": pool_pad,
    "subsample_pad": subsample_pad,
}


def project(
    kind: str,
    details: LayerDetails,
    in_channels: int,
    channels: int,
    stride: int,
    *,
    relu: bool = False,
    norm: bool = False,
) -> nn.Module:
    """A shortcut between different shapes.

    Args:
        kind: A name in ``LEARNED`` or ``FIXED``.
        details: Makes its layers.
        in_channels: Channels of the input.
        channels: Channels of the output; not fewer where the kind has no weights.
        stride: How much smaller the image gets.
        relu: Whether it starts with a ReLU.
        norm: Whether it ends in a norm, where it has weights.
    """
    if kind in FIXED:
        conv = FIXED[kind](stride)
    else:
        conv = LEARNED[kind](details, in_channels, channels, stride)
    return chain(
        relu=nn.ReLU() if relu else None,
        conv=conv,
        norm=details.norm(channels) if norm and kind in LEARNED else None,
    )
