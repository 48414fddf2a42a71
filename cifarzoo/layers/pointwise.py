"""Strided 1x1 convolutions of few channels, as convolutions of the pixels that they look at.

On processors with AVX2 and without AVX-512, torch 2.14.1 (oneDNN) writes beyond a buffer in the
gradient of such a convolution's weights: stride 2, fewer than 8 channels, float32, channels_last.
The process is aborted some time later, in any other place, or computes with damaged numbers.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

FEW_CHANNELS = 16  # 8 are known to be enough on AVX2, whose vectors have half as many as AVX-512's


def convert(model: nn.Module) -> nn.Module:
    """Let such convolutions of ``model`` be computed so, in place; nothing but classes changes."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _looks_at_some_pixels(module):
            module.__class__ = PointwiseConv2d
    return model


class PointwiseConv2d(nn.Conv2d):
    """A strided 1x1 convolution without padding."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Images (N, C, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        rows, columns = self.stride
        seen = input[:, :, ::rows, ::columns]
        return F.conv2d(seen, self.weight, self.bias, groups=self.groups)


def _looks_at_some_pixels(module: nn.Conv2d) -> bool:
    return (
        module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.padding == (0, 0)
        and module.in_channels // module.groups < FEW_CHANNELS
    )
