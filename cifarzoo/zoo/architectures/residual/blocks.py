"""What residual families are made of: the frame of a network, its blocks and their shortcuts.

Layers are registered in the order in which they run, so that a list of parameters reads like
the network.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Layers, Residual, Site

ChannelPadding = Literal["end", "split"]


class ResidualNetwork(nn.Module):
    """Stem, blocks, last activation, mean over pixels, classifier: images to logits (N, K).

    Args:
        stem: Layers from images (N, C, H, W) to the first features.
        blocks: Residual blocks, in groups or not.
        last: Layers between the last block and the mean over pixels.
        head: Classifier.
    """

    def __init__(
        self, *, stem: nn.Module, blocks: nn.Module, last: nn.Module, head: nn.Module
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = blocks
        self.last = last
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        features: Tensor = self.last(self.blocks(self.stem(images)))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


class ResidualBlock(nn.Module):
    """``after(shortcut(x) + residual(x))``, of ``before(x)`` where both share a first layer.

    Channels that the shortcut lacks count as zeros, which ``padding`` places; see
    ``add_shortcut``.
    """

    def __init__(
        self,
        *,
        residual: nn.Module,
        shortcut: nn.Module,
        before: nn.Module | None = None,
        after: nn.Module | None = None,
        padding: ChannelPadding = "end",
    ) -> None:
        super().__init__()
        self.before = before or nn.Identity()
        self.residual = residual
        self.shortcut = shortcut
        self.after = after or nn.Identity()
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """The block's output for x (N, C, H, W)."""
        x = self.before(x)
        residual = self.residual(x)
        output: Tensor = self.after(add_shortcut(residual, self.shortcut(x), self.padding))
        return output


class _AddToChannels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, residual: Tensor, shortcut: Tensor, first: int) -> Tensor:
        ctx.first, ctx.end = first, first + shortcut.shape[1]
        total = residual.clone()
        total[:, ctx.first : ctx.end] += shortcut
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        return grad, grad[:, ctx.first : ctx.end], None


def add_shortcut(residual: Tensor, shortcut: Tensor, padding: ChannelPadding = "end") -> Tensor:
    """The sum of a block, where the shortcut's missing channels are zeros.

    Padding the shortcut first costs a tenth of a training step of PyramidNet on a CPU.

    Args:
        residual: Features (N, C, H, W).
        shortcut: Features (N, c, H, W), with c at most C.
        padding: Where the zeros are: all at the ``end``, or ``split``: half of them, rounded
            down, before the shortcut's channels and the others behind.
    """
    missing = residual.shape[1] - shortcut.shape[1]
    if not missing:
        return shortcut + residual
    first = missing // 2 if padding == "split" else 0
    total: Tensor = _AddToChannels.apply(residual, shortcut, first)
    return total


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """The shape of one block, and where it sits.

    Attributes:
        in_channels: Channels of its input.
        channels: Width of the block.
        expansion: How many times wider its output is.
        stride: Stride of its first strided layer.
        index: Number of the block, from 1.
        total: Number of blocks in the network.
    """

    in_channels: int
    channels: int
    stride: int
    index: int
    total: int
    expansion: int = 1

    @property
    def out_channels(self) -> int:
        """Channels of its output."""
        return self.expansion * self.channels

    @property
    def is_identity(self) -> bool:
        """Whether the shortcut can be x itself."""
        return self.stride == 1 and self.in_channels == self.out_channels

    def site(self, *, final_norm: bool) -> Site:
        """The place of the block's residual."""
        return Site(self.index, self.total, final_norm=final_norm, channels=self.out_channels)


def build_groups(
    make_block: Callable[[BlockPlan], nn.Module],
    *,
    in_channels: int,
    widths: Sequence[int],
    blocks_per_group: int | Sequence[int],
    expansion: int = 1,
) -> nn.Sequential:
    """Groups of equal blocks, named ``group.block`` from 0; each but the first halves the image.

    Args:
        make_block: Builds a block.
        in_channels: Channels after the stem.
        widths: Width of each group.
        blocks_per_group: Number of blocks in each, or in all of them alike.
        expansion: How many times wider than a group its outputs are.
    """
    if isinstance(blocks_per_group, int):
        blocks_per_group = [blocks_per_group] * len(widths)
    groups, num_before = [], 0
    for group, (width, num_blocks) in enumerate(zip(widths, blocks_per_group, strict=True)):
        plans = [
            BlockPlan(
                in_channels=expansion * width if block else in_channels,
                channels=width,
                stride=2 if group and not block else 1,
                index=num_before + block + 1,
                total=sum(blocks_per_group),
                expansion=expansion,
            )
            for block in range(num_blocks)
        ]
        groups.append(nn.Sequential(*map(make_block, plans)))
        in_channels = expansion * width
        num_before += num_blocks
    return nn.Sequential(*groups)


def check_parallel_paths(residual: Residual) -> None:
    """Refuse a port whose regularizers merge no parallel paths.

    Raises:
        ConfigError: None of them does.
    """
    if residual.num_paths == 1:
        raise ConfigError(
            "needs a regularizer that merges parallel residual paths; "
            "write run.regularizers = [@shake_shake]"
        )


def chain(**layers: nn.Module | None) -> nn.Sequential:
    """Named layers in order; None leaves one out."""
    return nn.Sequential(OrderedDict((k, v) for k, v in layers.items() if v is not None))


def conv_norm_act(
    make: Layers,
    in_channels: int,
    channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    act: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """A convolution, a norm and an activation; None: without one."""
    return chain(
        conv=make.conv(in_channels, channels, kernel_size, stride, groups=groups),
        norm=make.norm(channels),
        act=act(inplace=True) if act else None,
    )


# Shortcuts where channels or image size change -------------------------------------------------


def conv3x3(layers: Layers, plan: BlockPlan) -> nn.Module:
    """A 3x3 convolution."""
    return layers.conv(plan.in_channels, plan.out_channels, 3, plan.stride)


def conv1x1(layers: Layers, plan: BlockPlan) -> nn.Module:
    """A 1x1 convolution: option B of He et al. (2015; arXiv:1512.03385)."""
    return layers.conv(plan.in_channels, plan.out_channels, 1, plan.stride)


def conv1x1_norm(layers: Layers, plan: BlockPlan) -> nn.Module:
    """A 1x1 convolution and a norm: option B where blocks end in a norm."""
    return chain(conv=conv1x1(layers, plan), norm=layers.norm(plan.out_channels))


def pool_pad(_: Layers, plan: BlockPlan) -> nn.Module:
    """The mean over stride by stride pixels; the block's sum takes missing channels as zeros."""
    return nn.AvgPool2d(plan.stride) if plan.stride > 1 else nn.Identity()


def subsample_pad(_: Layers, plan: BlockPlan) -> nn.Module:
    """Every stride-th pixel, and channels of zeros: option A of He et al."""
    return nn.AvgPool2d(1, plan.stride) if plan.stride > 1 else nn.Identity()


SHORTCUTS: Mapping[str, Callable[[Layers, BlockPlan], nn.Module]] = {
    "conv3x3": conv3x3,
    "conv1x1": conv1x1,
    "pool_pad": pool_pad,
    "subsample_pad": subsample_pad,
}


def widened(channels: int, factor: float) -> int:
    """So many times as many channels, at least one."""
    return max(1, round(channels * factor))
