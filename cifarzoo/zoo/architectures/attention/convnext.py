"""ConvNeXt on small images (Liu et al., 2022; arXiv:2201.03545)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import PositiveFloat, PositiveInt, Residual, Site, check_settings
from cifarzoo.zoo.architectures.attention.encoder import ChannelNorm, PixelMlp
from cifarzoo.zoo.architectures.residual.blocks import ResidualBlock, chain


class LayerScale(nn.Module):
    """Scales each channel by a trained number (Touvron et al., 2021; arXiv:2103.17239).

    Args:
        dim: Channels.
        value: What all numbers are at first.
    """

    def __init__(self, dim: int, value: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((dim, 1, 1), value))

    def forward(self, x: Tensor) -> Tensor:
        """The features (N, dim, H, W), scaled."""
        return x * self.scale


class ConvNext(nn.Module):
    """Stem, stages, the mean over pixels, a norm, a classifier.

    Args:
        stem: Layers from images to features.
        blocks: Blocks, and what halves the image between stages.
        norm: Norm of the means.
        head: Classifier.
    """

    def __init__(
        self, *, stem: nn.Module, blocks: nn.Module, norm: nn.Module, head: nn.Module
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = blocks
        self.norm = norm
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        features: Tensor = self.blocks(self.stem(images))
        logits: Tensor = self.head(self.norm(features.mean((2, 3))))
        return logits


@register.architecture
def convnext(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    widths: Sequence[PositiveInt] = (64, 128, 256),
    blocks: Sequence[PositiveInt] = (3, 3, 9),
    patch_size: PositiveInt = 2,
    layer_scale: PositiveFloat = 1e-6,
) -> nn.Module:
    """A ConvNeXt of three stages for small images: by default one with 5.5 million parameters.

    A ConvNet for the 2020s (Liu et al., 2022; arXiv:2201.03545), figure 4: depthwise 7x7
    convolutions, norms of channels, and perceptrons of four times the channels. Patches of 2 x 2
    pixels and three stages leave 4 x 4 of 32 x 32 pixels.

    Args:
        num_classes: K.
        residual: The residual port.
        in_channels: Channels of the images.
        widths: Channels of each stage; each but the first halves the image.
        blocks: Blocks of each stage.
        patch_size: Pixels a side that the stem makes one of; the paper's 4.
        layer_scale: What the trained factor on each branch is at first, above 0.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(convnext, locals())
    if len(widths) != len(blocks) or not widths:
        raise ConfigError(
            f"is {list(blocks)}; expected a number for each of {len(widths)} widths",
            parameter="blocks",
        )
    stem = chain(
        conv=nn.Conv2d(in_channels, widths[0], patch_size, patch_size),
        norm=ChannelNorm(widths[0], eps=1e-6),
    )
    stages: list[nn.Module] = []
    index, total = 0, sum(blocks)
    for number, (width, num_blocks) in enumerate(zip(widths, blocks, strict=True)):
        parts: list[nn.Module] = []
        if number:
            before = widths[number - 1]
            parts += [ChannelNorm(before, eps=1e-6), nn.Conv2d(before, width, 2, 2)]
        for _ in range(num_blocks):
            index += 1
            parts.append(
                convnext_block(residual, Site(index, total, channels=width), width, layer_scale)
            )
        stages.append(nn.Sequential(*parts))
    network = ConvNext(
        stem=stem,
        blocks=nn.Sequential(*stages),
        norm=nn.LayerNorm(widths[-1], eps=1e-6),
        head=nn.Linear(widths[-1], num_classes),
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def convnext_block(residual: Residual, site: Site, dim: int, layer_scale: float) -> nn.Module:
    """A depthwise 7x7 convolution, a norm and a perceptron (figure 4)."""

    def make_path() -> nn.Module:
        return chain(
            conv=nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            norm=ChannelNorm(dim, eps=1e-6),
            mlp=PixelMlp(dim, 4 * dim, dropout_rate=0.0),
            scale=LayerScale(dim, layer_scale),
        )

    return ResidualBlock(residual=residual(make_path, site), shortcut=nn.Identity())
