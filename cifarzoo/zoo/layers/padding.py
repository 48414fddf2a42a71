"""Convolutions that pad as one framework or another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.layers.kernels.strips import Conv2d


class SameConv2d(Conv2d):
    """A strided convolution padded as XLA's ``SAME``.

    Its output has ceil(size / stride) pixels a side, and of an odd number of padding pixels
    the bottom and the right get one more: 3x3 with stride 2 pads an even size by (0, 1), where
    torch's ``padding=1`` looks at a grid that is shifted by a pixel.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Images (N, C, H, W) to (N, channels, ceil(H / stride), ceil(W / stride))."""
        height, width = input.shape[2:]
        rows = same_padding(height, self.kernel_size[0], self.stride[0])
        columns = same_padding(width, self.kernel_size[1], self.stride[1])
        return super().forward(F.pad(input, (*columns, *rows)))


def same_padding(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Padding pixels before and after ``size`` pixels, as XLA's ``SAME`` has them."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2


def conv_symmetric(
    in_channels: int,
    channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    bias: bool,
) -> nn.Conv2d:
    """A convolution with the same padding on every side, for an odd kernel."""
    padding = kernel_size // 2
    return nn.Conv2d(in_channels, channels, kernel_size, stride, padding, groups=groups, bias=bias)


def conv_same(
    in_channels: int,
    channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    bias: bool,
) -> nn.Conv2d:
    """A convolution padded as XLA's ``SAME``, for an odd kernel."""
    is_same = stride == 1 or kernel_size == 1  # both ways are one, and this one copies nothing
    make = conv_symmetric if is_same else SameConv2d
    return make(in_channels, channels, kernel_size, stride, groups=groups, bias=bias)


PADDINGS: Mapping[str, Callable[..., nn.Conv2d]] = {
    "same": conv_same,
    "symmetric": conv_symmetric,
}
