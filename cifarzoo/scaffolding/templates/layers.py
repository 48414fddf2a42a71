"""A plugin: ``my_layers``, which a network makes its layers with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cifarzoo import register
from cifarzoo.protocols import Layers, PositiveInt, check_settings
from torch import nn


@dataclass(frozen=True, kw_only=True)
class MyLayers:
    """Makes convolutions, norms and classifiers; see ``my_layers``."""

    num_groups: int

    def conv(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        groups: int = 1,
    ) -> nn.Module:
        """A convolution that keeps the size, up to its stride."""
        made = nn.Conv2d(
            in_channels,
            channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        )
        nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
        return made

    def norm(self, channels: int) -> nn.Module:
        """A normalisation of (N, channels, H, W), each image by itself."""
        return nn.GroupNorm(math.gcd(self.num_groups, channels), channels)

    def dense(self, features: int, num_classes: int) -> nn.Module:
        """The classifier of (N, features)."""
        return nn.Linear(features, num_classes)


@register.layers
def my_layers(*, num_groups: PositiveInt = 8) -> Layers:
    """Group normalisation in the place of batch normalisation.

    Args:
        num_groups: Groups of channels, at least 1; where they don't divide the channels, the
            most that divide both.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(my_layers, locals())
    return MyLayers(num_groups=num_groups)
