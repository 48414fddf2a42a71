"""Deep Layer Aggregation on small images (Yu et al., 2018; arXiv:1707.06484)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import Layers, LayersFactory, PositiveFloat, Residual, check_settings
from cifarzoo.zoo.architectures.residual.blocks import (
    BlockPlan,
    ResidualNetwork,
    conv_norm_act,
    widened,
)
from cifarzoo.zoo.architectures.residual.resnet import VARIANTS, plain_block
from cifarzoo.zoo.architectures.variants import make_layers
from cifarzoo.zoo.layers.conventions import torch_layers

# Channels, levels and stride of each tree: DLA-34 of table 1, which halves the image earlier.
TREES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 1, 2))
BASE_CHANNELS = (16, 16, 32)
MakeBlock = Callable[[int, int, int], nn.Module]


class Tree(nn.Module):
    """Blocks whose outputs are aggregated, and smaller trees before them (figure 3f).

    Args:
        make: What layers are made with.
        make_block: Makes a block from channels, channels and a stride.
        in_channels: Channels of the input.
        channels: Channels of each block and of the output.
        levels: Depth of the tree.
        stride: Stride of its first block.
    """

    def __init__(
        self,
        make: Layers,
        make_block: MakeBlock,
        in_channels: int,
        channels: int,
        *,
        levels: int,
        stride: int,
    ) -> None:
        super().__init__()
        self.before = make_block(in_channels, channels, stride) if levels > 1 else None
        self.trees = nn.ModuleList()
        for level in range(levels - 1, 0, -1):
            self.trees.append(
                Tree(make, make_block, in_channels, channels, levels=level, stride=stride)
            )
            in_channels, stride = channels, 1
        self.left = make_block(in_channels, channels, stride)
        self.right = make_block(channels, channels, 1)
        num_inputs = 2 if levels == 1 else levels + 2
        self.root = conv_norm_act(make, num_inputs * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, channels, H, W) of x."""
        gathered = [] if self.before is None else [self.before(x)]
        for tree in self.trees:
            x = tree(x)
            gathered.append(x)
        left = self.left(x)
        gathered += [left, self.right(left)]
        output: Tensor = self.root(torch.cat(gathered, 1))
        return output


@register.architecture
def dla(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    width_factor: PositiveFloat = 1.0,
    layers: LayersFactory | None = None,
) -> nn.Module:
    """A DLA: ResNet blocks in trees, whose roots see what all their branches give.

    Deep Layer Aggregation (Yu et al., 2018; arXiv:1707.06484), figure 3f and table 1, as in
    kuangliu/pytorch-cifar: the first three convolutions and the first tree don't halve the image.

    Args:
        num_classes: K.
        residual: The residual port.
        in_channels: Channels of the images.
        width_factor: Factor on all channels.
        layers: What convolutions, norms and the classifier are made with; None: ``torch_layers``.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(dla, locals())
    make = make_layers(layers or torch_layers)
    form = VARIANTS["torch"]
    num_blocks = sum(2 if levels == 1 else 2 * levels + 1 for _, levels, _ in TREES)
    index = 0

    def make_block(before: int, channels: int, stride: int) -> nn.Module:
        nonlocal index
        index += 1
        plan = BlockPlan(
            in_channels=before, channels=channels, stride=stride, index=index, total=num_blocks
        )
        return plain_block(make, form, plan, residual)

    base: list[nn.Module] = []
    width = in_channels
    for base_channels in BASE_CHANNELS:
        channels = widened(base_channels, width_factor)
        base += [make.conv(width, channels, 3), make.norm(channels), nn.ReLU(inplace=True)]
        width = channels
    trees: list[nn.Module] = []
    for tree_channels, levels, stride in TREES:
        channels = widened(tree_channels, width_factor)
        trees.append(Tree(make, make_block, width, channels, levels=levels, stride=stride))
        width = channels
    return ResidualNetwork(
        stem=nn.Sequential(*base),
        blocks=nn.Sequential(*trees),
        last=nn.Identity(),
        head=make.dense(width, num_classes),
    )
