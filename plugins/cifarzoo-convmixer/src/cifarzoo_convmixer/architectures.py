"""ConvMixer (Trockman and Kolter, 2022; arXiv:2201.09792)."""

from __future__ import annotations

from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Residual, Site


class Mixer(nn.Module):
    """Mixes places by a depthwise convolution, then channels by a pointwise one.

    Args:
        width: Channels.
        kernel_size: Of the depthwise convolution.
        residual: The residual port.
        site: Where in the network this is.
    """

    def __init__(self, width: int, kernel_size: int, residual: Residual, site: Site) -> None:
        super().__init__()

        def make_path() -> nn.Module:
            conv = nn.Conv2d(width, width, kernel_size, groups=width, padding="same")
            return activated(conv, width)

        self.places = residual(make_path, site)
        self.channels = activated(nn.Conv2d(width, width, 1), width)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape (N, C, H, W)."""
        mixed: Tensor = self.channels(x + self.places(x))
        return mixed


def activated(conv: nn.Module, width: int) -> nn.Sequential:
    """A convolution, GELU and a norm."""
    return nn.Sequential(conv, nn.GELU(), nn.BatchNorm2d(width))


@register.architecture
def convmixer(
    num_classes: int,
    residual: Residual,
    *,
    width: int = 256,
    depth: int = 8,
    kernel_size: int = 5,
    patch_size: int = 2,
) -> nn.Module:
    """Patches, then blocks that mix places and channels in turn: ConvMixer-256/8.

    Patches Are All You Need? (Trockman and Kolter, 2022; arXiv:2201.09792), section 2; the
    size of the authors' code for CIFAR-10, 0.6 M parameters. The depthwise convolution is the
    residual branch; it ends in a norm.

    Args:
        num_classes: K.
        residual: The residual port.
        width: Channels throughout.
        depth: Blocks.
        kernel_size: Of the depthwise convolutions.
        patch_size: Pixels at each side of a patch.

    Raises:
        ConfigError: A number isn't positive.
    """
    sizes = {"width": width, "depth": depth, "kernel_size": kernel_size, "patch_size": patch_size}
    for name, size in sizes.items():
        if size < 1:
            raise ConfigError(f"is {size!r}; expected at least 1", parameter=name)
    sites = (Site(index, depth, final_norm=True) for index in range(1, depth + 1))
    return nn.Sequential(
        activated(nn.Conv2d(3, width, patch_size, stride=patch_size), width),
        *(Mixer(width, kernel_size, residual, site) for site in sites),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, num_classes),
    )


convmixer_256_8 = register.preset(
    convmixer, width=256, depth=8, kernel_size=5, patch_size=2, num_parameters=594_186
)
"""The authors' network for CIFAR-10."""
