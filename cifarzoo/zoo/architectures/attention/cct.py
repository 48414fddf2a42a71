"""Compact convolutional transformers (Hassani et al., 2021; arXiv:2104.05704)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Fraction, PositiveFloat, PositiveInt, Residual, check_settings
from cifarzoo.zoo.architectures.attention.encoder import ChannelNorm, encoder


class Cct(nn.Module):
    """Convolutions, positions, a transformer, a weighted mean over its tokens, a classifier.

    Args:
        tokenizer: Layers from images (N, C, H, W) to features (N, D, h, w).
        num_positions: Height and width (h, w) of these.
        dim: D.
        blocks: The transformer's blocks.
        head: The classifier.
    """

    def __init__(
        self,
        *,
        tokenizer: nn.Module,
        num_positions: tuple[int, int],
        dim: int,
        blocks: nn.Module,
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.positions = nn.Parameter(torch.empty(1, dim, *num_positions))
        nn.init.trunc_normal_(self.positions, std=0.2)  # as the authors' code has it
        self.blocks = blocks
        self.norm = ChannelNorm(dim)
        self.weigh = nn.Linear(dim, 1)
        self.head = head

    def no_weight_decay(self) -> set[str]:
        """The positions, which no policy that spares norms decays."""
        return {"positions"}

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        features = self.norm(self.blocks(self.tokenizer(images) + self.positions))
        tokens = features.flatten(2).transpose(1, 2)
        weights = self.weigh(tokens).softmax(1)  # equation 5, the sequence's pooling
        logits: Tensor = self.head((weights * tokens).sum(1))
        return logits


@register.architecture
def cct(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    image_size: tuple[int, int] = (32, 32),
    kernel_size: PositiveInt = 3,
    num_convs: PositiveInt = 1,
    dim: PositiveInt = 256,
    depth: PositiveInt = 7,
    num_heads: PositiveInt = 4,
    mlp_ratio: PositiveFloat = 2.0,
    dropout_rate: Fraction = 0.0,
) -> nn.Module:
    """A compact convolutional transformer: by default CCT-7/3x1.

    Escaping the Big Data Paradigm with Compact Transformers (Hassani et al., 2021;
    arXiv:2104.05704), section 3.3: convolutions with poolings make the tokens, and their weighted
    mean is classified. The paper's stochastic depth is a regularizer here.

    Args:
        num_classes: K.
        residual: The residual port, with two sites a block: attention and perceptron.
        in_channels: Channels of the images.
        image_size: Height and width of the images.
        kernel_size: Pixels a side of a convolution, odd.
        num_convs: Convolutions, each with a pooling that halves the image.
        dim: Channels of a token.
        depth: Blocks.
        num_heads: Heads of the attention; divides ``dim``.
        mlp_ratio: How many times wider than ``dim`` the perceptrons are inside.
        dropout_rate: Share of single activations that perceptrons drop.

    Raises:
        ConfigError: A setting is out of its range, or sizes don't fit.

    Differs from the paper: no dropout of attention weights.
    """
    check_settings(cct, locals())
    if kernel_size % 2 == 0:
        raise ConfigError(f"is {kernel_size!r}; expected an odd number", parameter="kernel_size")
    if min(image_size) < 2**num_convs:
        raise ConfigError(
            f"is {num_convs!r}, which halve the images' {image_size[0]} x {image_size[1]} pixels; "
            "expected fewer",
            parameter="num_convs",
        )
    parts: list[nn.Module] = []
    for index in range(num_convs):
        before = in_channels if index == 0 else 64
        after = dim if index == num_convs - 1 else 64
        conv = nn.Conv2d(before, after, kernel_size, 1, kernel_size // 2, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        parts += [conv, nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    sides = [-(-side // 2**num_convs) for side in image_size]
    return Cct(
        tokenizer=nn.Sequential(*parts),
        num_positions=(sides[0], sides[1]),
        dim=dim,
        blocks=encoder(
            residual,
            dim=dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            dropout_rate=dropout_rate,
            qkv_bias=False,
        ),
        head=nn.Linear(dim, num_classes),
    )
