"""Vision transformers for small images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Fraction, PositiveFloat, PositiveInt, Residual, check_settings
from cifarzoo.zoo.architectures.attention.encoder import ChannelNorm, encoder


class Vit(nn.Module):
    """Patches, positions, a transformer, the mean over its tokens, a classifier.

    Args:
        patches: Layer from images (N, C, H, W) to features (N, D, h, w).
        num_positions: Height and width (h, w) of these.
        dim: D.
        blocks: The transformer's blocks.
        head: The classifier.
    """

    def __init__(
        self,
        *,
        patches: nn.Module,
        num_positions: tuple[int, int],
        dim: int,
        blocks: nn.Module,
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.patches = patches
        self.positions = nn.Parameter(torch.empty(1, dim, *num_positions))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.blocks = blocks
        self.norm = ChannelNorm(dim, eps=1e-6)
        self.head = head

    def no_weight_decay(self) -> set[str]:
        """The positions, which no policy that spares norms decays."""
        return {"positions"}

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        features = self.blocks(self.patches(images) + self.positions)
        logits: Tensor = self.head(self.norm(features).mean((2, 3)))
        return logits


@register.architecture
def vit(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    image_size: tuple[int, int] = (32, 32),
    patch_size: PositiveInt = 4,
    dim: PositiveInt = 192,
    depth: PositiveInt = 9,
    num_heads: PositiveInt = 12,
    mlp_ratio: PositiveFloat = 2.0,
    dropout_rate: Fraction = 0.0,
) -> nn.Module:
    """A vision transformer of small patches: by default one with 2.7 million parameters.

    An Image is Worth 16x16 Words (Dosovitskiy et al., 2021; arXiv:2010.11929), section 3.1, in the
    size that Lee et al. (2021; arXiv:2112.13492) have for images of 32 pixels.

    Args:
        num_classes: K.
        residual: The residual port, with two sites a block: attention and perceptron.
        in_channels: Channels of the images.
        image_size: Height and width of the images.
        patch_size: Pixels a side of a patch; divides the images' sides.
        dim: Channels of a token.
        depth: Blocks.
        num_heads: Heads of the attention; divides ``dim``.
        mlp_ratio: How many times wider than ``dim`` the perceptrons are inside.
        dropout_rate: Share of single activations that perceptrons drop.

    Raises:
        ConfigError: A setting is out of its range, or sizes don't divide each other.

    Differs from the paper: the mean over all tokens is classified, not a token of its own.
    """
    check_settings(vit, locals())
    if any(side % patch_size for side in image_size):
        raise ConfigError(
            f"is {patch_size!r}; expected a divisor of the images' {image_size[0]} x "
            f"{image_size[1]} pixels",
            parameter="patch_size",
        )
    return Vit(
        patches=nn.Conv2d(in_channels, dim, patch_size, patch_size),
        num_positions=(image_size[0] // patch_size, image_size[1] // patch_size),
        dim=dim,
        blocks=encoder(
            residual,
            dim=dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            dropout_rate=dropout_rate,
        ),
        head=nn.Linear(dim, num_classes),
    )
