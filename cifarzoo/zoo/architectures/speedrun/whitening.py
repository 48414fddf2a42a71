"""A first layer that whitens patches of the images, its kernels from the data's own statistics.

Any architecture can begin with it: the engine gives it training images before the first step
(``cifarzoo.protocols.DataInitialised``) and tells it where training stands (``Timed``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Timestamp

CHUNK = 500  # images whose patches are in memory at a time


class Whitening(nn.Module):
    """A frozen convolution whose outputs are the whitened patches and their negatives.

    Patch whitening for CIFAR (Page, 2019, "How to train your ResNet", part 8), as in
    Jordan (2024; arXiv:2404.00498), section 3.1. Until it has seen images its kernels are those
    of any convolution.

    Args:
        in_channels: Channels of the images.
        kernel_size: Pixels a side of a patch; no padding.
        eps: Added to the variance along each principal axis.
        bias_epochs: How long the bias is trained; ``inf``: throughout, 0: it stays 0.

    Raises:
        ConfigError: A number is out of its range.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        kernel_size: int = 2,
        eps: float = 5e-4,
        bias_epochs: float = 3.0,
    ) -> None:
        super().__init__()
        if kernel_size < 1:
            raise ConfigError(f"is {kernel_size!r}; expected at least 1", parameter="kernel_size")
        if not 0 < eps < math.inf:
            raise ConfigError(f"is {eps!r}; expected a number above 0", parameter="eps")
        if not bias_epochs >= 0:
            raise ConfigError(f"is {bias_epochs!r}; expected at least 0", parameter="bias_epochs")
        self.in_channels = in_channels
        self.kernel_size = kernel_size
        self.eps = eps
        self.bias_epochs = bias_epochs
        shape = (self.channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.empty(shape), requires_grad=False)
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.bias = nn.Parameter(torch.zeros(self.channels), requires_grad=bias_epochs > 0)

    @property
    def channels(self) -> int:
        """Channels of the output: two for each number in a patch."""
        return 2 * self.in_channels * self.kernel_size**2

    @torch.no_grad()
    def initialise_from(self, images: Tensor) -> None:
        """Take the kernels from the patches of normalised training images (N, C, H, W)."""
        axes = whitening_axes(patch_covariance(images, self.kernel_size), self.eps)
        kernels = axes.view(-1, self.in_channels, self.kernel_size, self.kernel_size)
        self.weight.copy_(torch.cat([kernels, -kernels]))

    def begin_step(self, moment: Timestamp) -> None:
        """Train the bias in the first ``bias_epochs`` only: no gradient goes below it then."""
        self.bias.requires_grad_(moment.epoch < self.bias_epochs)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to (N, channels, H - kernel_size + 1, W - kernel_size + 1)."""
        return F.conv2d(images, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        return f"{self.kernel_size}, eps={self.eps}, bias_epochs={self.bias_epochs}"


def patch_covariance(images: Tensor, size: int) -> Tensor:
    """Covariance of all ``size`` x ``size`` patches of images (N, C, H, W).

    Returns:
        Float64 (C * size**2, C * size**2).
    """
    total, products, count = torch.zeros(()), torch.zeros(()), 0
    for some in torch.split(images, CHUNK):
        windows = some.unfold(2, size, 1).unfold(3, size, 1)
        patches = windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2).double()
        total = total.to(patches) + patches.sum(0)
        products = products.to(patches) + patches.T @ patches
        count += len(patches)
    return (products - total.outer(total) / count) / (count - 1)


def whitening_axes(covariance: Tensor, eps: float) -> Tensor:
    """Principal axes, each divided by the standard deviation along it.

    The outputs of patches then have unit variance and no correlation, up to ``eps``. An axis,
    which may point either way, has its largest component positive.

    Args:
        covariance: Float64 (d, d).
        eps: Added to each variance.

    Returns:
        Float32 (d, d), a row an axis, by falling variance.
    """
    # On the CPU: once a run, for the same axes whatever device trains, and a 27 x 27 matrix.
    variances, axes = torch.linalg.eigh(covariance.cpu())
    rows: Tensor = (axes / (variances + eps).sqrt()).T.flip(0)
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    kernels: Tensor = (rows * largest.sign()).float()
    return kernels.to(covariance.device)
