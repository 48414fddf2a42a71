"""A plugin: the network ``my_architecture``."""

from __future__ import annotations

from cifarzoo import register
from cifarzoo.protocols import PositiveInt, Residual, Site, check_settings
from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions beside a shortcut.

    Args:
        width: Channels.
        residual: The residual port, which puts the run's regularizers into the block.
        site: Where in the network this is.
    """

    def __init__(self, width: int, residual: Residual, site: Site) -> None:
        super().__init__()

        def make_path() -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
            )

        self.residual = residual(make_path, site)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape (N, C, H, W)."""
        return nn.functional.relu(x + self.residual(x))


@register.architecture
def my_architecture(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    width: PositiveInt = 32,
    num_blocks: PositiveInt = 3,
) -> nn.Module:
    """Residual blocks at a quarter of the resolution.

    Args:
        num_classes: K.
        residual: The residual port.
        in_channels: Channels of the images.
        width: Channels of every block, at least 1.
        num_blocks: Blocks, at least 1.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(my_architecture, locals())
    sites = [
        Site(index, num_blocks, final_norm=True, channels=width)
        for index in range(1, num_blocks + 1)
    ]
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 4, stride=4, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        *(Block(width, residual, site) for site in sites),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, num_classes),
    )
