"""Squeeze-and-excitation of residual branches (Hu et al., 2018; arXiv:1709.01507)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import PositiveInt, Regularizer, Site, check_settings


class SqueezeExcite(nn.Module):
    """Scales each channel by a number that follows from the means of all channels.

    Args:
        channels: C.
        inner: Units between both layers.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, inner)
        self.excite = nn.Linear(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        """The branch (N, C, H, W), scaled; equations 2 to 4."""
        means = x.mean((2, 3))
        scales = torch.sigmoid(self.excite(torch.relu(self.squeeze(means))))
        return x * scales[:, :, None, None].to(x.dtype)


@dataclass(frozen=True, kw_only=True)
class SqueezeExcitation(Regularizer):
    """Puts ``SqueezeExcite`` on every branch; see ``squeeze_excite``."""

    reduction: int

    def branch(self, site: Site) -> nn.Module:
        """The gate of a block's channels."""
        if site.channels is None:
            raise ConfigError(
                "needs the number of a residual's channels, which this architecture doesn't say; "
                "it gives Site(..., channels=...) to its residual port"
            )
        return SqueezeExcite(site.channels, max(1, site.channels // self.reduction))


@register.regularizer
def squeeze_excite(*, reduction: PositiveInt = 16) -> Regularizer:
    """Let every residual branch scale its channels by what all of them have on average.

    Squeeze-and-Excitation Networks (Hu et al., 2018; arXiv:1709.01507), section 3 and figure 3:
    the mean over the pixels, a layer of C / ``reduction`` units with a ReLU, one of C units and a
    sigmoid. It has parameters of its own: a ResNet with it is the paper's SE-ResNet.

    Args:
        reduction: How many times fewer units the inner layer has, at least 1; the paper's r.

    Raises:
        ConfigError: ``reduction`` is below 1, or the network doesn't say how many channels its
            residuals have.
    """
    check_settings(squeeze_excite, locals())
    return SqueezeExcitation(reduction=reduction)
