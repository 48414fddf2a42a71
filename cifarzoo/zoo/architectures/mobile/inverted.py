"""Inverted residual blocks, of which MobileNetV2 and EfficientNet are made.

Sandler et al. (2018; arXiv:1801.04381), section 3.3, and with a gate of their channels Tan and Le
(2019; arXiv:1905.11946).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cifarzoo.protocols import Layers, Residual
from cifarzoo.zoo.architectures.residual.blocks import (
    BlockPlan,
    ResidualBlock,
    chain,
    conv_norm_act,
)


class Stage(NamedTuple):
    """Blocks of one width, a row of the papers' tables.

    Attributes:
        expansion: How many times wider blocks are inside.
        channels: Channels that they give.
        num_blocks: Number of blocks.
        stride: Stride of the first.
        kernel_size: Side of the depthwise convolutions' kernels.
    """

    expansion: int
    channels: int
    num_blocks: int
    stride: int
    kernel_size: int = 3


@dataclass(frozen=True, kw_only=True)
class Form:
    """What all blocks of a network have in common.

    Attributes:
        act: Activation.
        is_gated: Whether squeeze-and-excitation stands behind the depthwise convolution.
    """

    act: type[nn.Module]
    is_gated: bool


class ChannelGate(nn.Module):
    """Squeeze-and-excitation by 1x1 convolutions (Hu et al., 2018; arXiv:1709.01507).

    Args:
        channels: C.
        inner: Units between both layers.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, inner, 1)
        self.excite = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The features (N, C, H, W), scaled channel by channel."""
        means = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.excite(nn.functional.silu(self.squeeze(means))))


def inverted_blocks(
    make: Layers, form: Form, stages: Sequence[Stage], residual: Residual, *, in_channels: int
) -> nn.Sequential:
    """All blocks of a network; those whose shape changes have no shortcut, and no site.

    Args:
        make: What layers are made with.
        form: What they have in common.
        stages: Stages in their order.
        residual: The residual port.
        in_channels: Channels after the stem.
    """
    plans: list[tuple[BlockPlan, Stage]] = []
    for stage in stages:
        for number in range(stage.num_blocks):
            stride = stage.stride if number == 0 else 1
            plan = BlockPlan(
                in_channels=in_channels, channels=stage.channels, stride=stride, index=0, total=0
            )
            plans.append((plan, stage))
            in_channels = stage.channels
    sites = list(accumulate(int(plan.is_identity) for plan, _ in plans))
    return nn.Sequential(
        *(
            inverted_block(make, form, replace(plan, index=index, total=sites[-1]), stage, residual)
            for (plan, stage), index in zip(plans, sites, strict=True)
        )
    )


def inverted_block(
    make: Layers, form: Form, plan: BlockPlan, stage: Stage, residual: Residual
) -> nn.Module:
    """1x1 to ``expansion`` times the channels, a depthwise convolution, and 1x1 without ReLU."""
    inner = stage.expansion * plan.in_channels

    def make_path() -> nn.Module:
        return chain(
            expand=conv_norm_act(make, plan.in_channels, inner, 1, act=form.act)
            if stage.expansion > 1
            else None,
            depthwise=conv_norm_act(
                make, inner, inner, stage.kernel_size, plan.stride, groups=inner, act=form.act
            ),
            gate=ChannelGate(inner, plan.in_channels // 4) if form.is_gated else None,
            conv=make.conv(inner, plan.channels, 1),
            norm=make.norm(plan.channels),
        )

    if not plan.is_identity:
        return make_path()
    return ResidualBlock(
        residual=residual(make_path, plan.site(final_norm=True)), shortcut=nn.Identity()
    )


def widened_stages(stages: Sequence[Stage], factor: float) -> list[Stage]:
    """Stages of so many times as many channels, by the rule of ``divisible``."""
    return [stage._replace(channels=divisible(stage.channels * factor)) for stage in stages]


def divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor`` that is at most a tenth lower, as the authors have it."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor
