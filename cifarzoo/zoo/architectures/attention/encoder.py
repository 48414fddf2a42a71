"""Transformer blocks on features that lie as images (N, D, H, W).

As images, so that what acts on residual branches acts here too. Positions are mixed by attention
over all H * W pixels, each of which is a token.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.errors import ConfigError
from cifarzoo.layers.dropout import Dropout
from cifarzoo.protocols import Residual, Site
from cifarzoo.zoo.architectures.residual.blocks import ResidualBlock, chain


class ChannelNorm(nn.LayerNorm):
    """A layer normalisation of each pixel's channels, of (N, D, H, W)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Features of the same shape."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017; arXiv:1706.03762), section 3.2.

    Args:
        dim: Channels D.
        num_heads: Heads; divides D.
        qkv_bias: Whether queries, keys and values have a bias.
    """

    def __init__(self, dim: int, num_heads: int, *, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, D, H, W) that have seen all pixels of x."""
        count, dim, height, width = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        qkv = self.qkv(tokens).view(count, height * width, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.project(seen.transpose(1, 2).flatten(2))
        return mixed.transpose(1, 2).view(count, dim, height, width)


class PixelMlp(nn.Module):
    """Two linear layers with a GELU between them, on each pixel's channels.

    Args:
        dim: Channels D.
        inner: Units between both layers.
        dropout_rate: Share of single activations dropped after each.
    """

    def __init__(self, dim: int, inner: int, *, dropout_rate: float) -> None:
        super().__init__()
        self.layers = chain(
            expand=nn.Linear(dim, inner),
            gelu=nn.GELU(),
            dropout1=Dropout(dropout_rate) if dropout_rate else None,
            contract=nn.Linear(inner, dim),
            dropout2=Dropout(dropout_rate) if dropout_rate else None,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features of x (N, D, H, W), of the same shape."""
        changed: Tensor = self.layers(x.permute(0, 2, 3, 1))
        return changed.permute(0, 3, 1, 2)


def encoder(
    residual: Residual,
    *,
    dim: int,
    depth: int,
    num_heads: int,
    mlp_ratio: float,
    dropout_rate: float = 0.0,
    qkv_bias: bool = True,
) -> nn.Sequential:
    """Blocks of attention and a perceptron, each with a norm before it and a shortcut past it.

    An Image is Worth 16x16 Words (Dosovitskiy et al., 2021; arXiv:2010.11929), equations 2 and 3.

    Args:
        residual: The residual port, which has two sites a block.
        dim: Channels D.
        depth: Number of blocks.
        num_heads: Heads of the attention; divides D.
        mlp_ratio: How many times wider than D the perceptrons are inside.
        dropout_rate: Share of single activations that perceptrons drop.
        qkv_bias: Whether queries, keys and values have a bias.

    Raises:
        ConfigError: ``num_heads`` doesn't divide D.
    """
    if dim % num_heads:
        raise ConfigError(f"is {num_heads!r}; expected a divisor of {dim}", parameter="num_heads")
    blocks: list[nn.Module] = []
    for index in range(depth):

        def attend() -> nn.Module:
            return chain(
                norm=ChannelNorm(dim, eps=1e-6),
                attention=Attention(dim, num_heads, qkv_bias=qkv_bias),
            )

        def think() -> nn.Module:
            return chain(
                norm=ChannelNorm(dim, eps=1e-6),
                mlp=PixelMlp(dim, int(dim * mlp_ratio), dropout_rate=dropout_rate),
            )

        for part, make_path in enumerate((attend, think), start=1):
            site = Site(2 * index + part, 2 * depth, channels=dim)
            blocks.append(ResidualBlock(residual=residual(make_path, site), shortcut=nn.Identity()))
    return nn.Sequential(*blocks)
