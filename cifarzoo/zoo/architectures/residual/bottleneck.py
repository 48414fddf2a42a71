"""Bottlenecks with a ReLU after the sum, as ResNet, ResNeXt and RegNet have them."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from cifarzoo.protocols import Layers, Residual
from cifarzoo.zoo.architectures.residual.blocks import (
    BlockPlan,
    ResidualBlock,
    chain,
    conv1x1_norm,
)
from cifarzoo.zoo.architectures.residual.depths import StrideAt


def bottleneck_block(
    make: Layers,
    plan: BlockPlan,
    residual: Residual,
    *,
    inner: int,
    groups: int = 1,
    stride_at: StrideAt = "second",
    project: Callable[[Layers, BlockPlan], nn.Module] = conv1x1_norm,
) -> nn.Module:
    """1x1, 3x3 and 1x1 convolutions (He et al., 2015; arXiv:1512.03385; figure 5).

    Args:
        make: What layers are made with.
        plan: Shape and place of the block.
        residual: The residual port.
        inner: Channels of the first two convolutions.
        groups: Groups of the 3x3 convolution (Xie et al., 2017; arXiv:1611.05431; figure 3c).
        stride_at: Which convolution halves the image.
        project: Makes the shortcut where channels or size change.
    """
    first, second = (plan.stride, 1) if stride_at == "first" else (1, plan.stride)

    def make_path() -> nn.Module:
        return chain(
            conv1=make.conv(plan.in_channels, inner, 1, first),
            norm1=make.norm(inner),
            relu1=nn.ReLU(inplace=True),
            conv2=make.conv(inner, inner, 3, second, groups=groups),
            norm2=make.norm(inner),
            relu2=nn.ReLU(inplace=True),
            conv3=make.conv(inner, plan.out_channels, 1),
            norm3=make.norm(plan.out_channels),
        )

    return ResidualBlock(
        residual=residual(make_path, plan.site(final_norm=True)),
        shortcut=nn.Identity() if plan.is_identity else project(make, plan),
        after=nn.ReLU(inplace=True),
    )
