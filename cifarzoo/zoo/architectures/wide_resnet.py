"""Wide Residual Networks (Zagoruyko and Komodakis, 2016; arXiv:1605.07146)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.layers.dropout import Dropout
from cifarzoo.protocols import Residual
from cifarzoo.zoo.architectures.details import (
    AUTOAUGMENT,
    FLAX2020,
    PAPER,
    Init,
    LayerDetails,
    Padding,
    choose,
)
from cifarzoo.zoo.architectures.limits import check_at_least, check_choice, check_dropout
from cifarzoo.zoo.architectures.network import (
    STRIDES,
    BlockPlan,
    ChannelPadding,
    ResidualBlock,
    ResidualNetwork,
    build_groups,
    chain,
    plan_groups,
)
from cifarzoo.zoo.architectures.shortcuts import SkippedGroups, project

Shortcut = Literal["conv3x3", "conv1x1", "pool_pad"]
ShortcutInput = Literal["raw", "preactivated", "first_preactivated"]
STEM_CHANNELS = 16
# Which blocks share their first norm and ReLU with their shortcut.
SHARES: Mapping[str, Callable[[BlockPlan], bool]] = {
    "raw": lambda _: False,
    "preactivated": lambda plan: not plan.is_identity,
    "first_preactivated": lambda plan: plan.index == 1,
}


@dataclass(frozen=True, kw_only=True)
class Details(LayerDetails):
    """What differs between published Wide ResNets.

    Attributes:
        shortcut: Where channels or size change.
        shortcut_input: Whether such a shortcut starts from x, or from x after the block's
            first norm and ReLU, which it then shares with the residual; or whether the
            network's first block alone does that, whatever its shortcut.
        channel_padding: Where the zeros are that stand for channels which a shortcut without
            weights lacks: behind its own, or half before and half behind.
        extra_skips: Whether inputs are also added past whole groups and past all of them.
        final_norm: Whether a residual path ends in one more norm, which ShakeDrop needs.
    """

    shortcut: Shortcut
    shortcut_input: ShortcutInput
    channel_padding: ChannelPadding
    extra_skips: bool
    final_norm: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(get_args(Shortcut), shortcut=self.shortcut)
        check_choice(SHARES, shortcut_input=self.shortcut_input)
        check_choice(get_args(ChannelPadding), channel_padding=self.channel_padding)


VARIANTS = {
    "flax2020": Details(
        **vars(FLAX2020),
        shortcut="conv3x3",
        shortcut_input="raw",
        channel_padding="end",
        extra_skips=False,
        final_norm=False,
    ),
    "paper": Details(
        **vars(PAPER),
        shortcut="conv1x1",
        shortcut_input="preactivated",
        channel_padding="end",
        extra_skips=False,
        final_norm=False,
    ),
    "autoaugment": Details(
        **vars(AUTOAUGMENT),
        shortcut="pool_pad",
        shortcut_input="first_preactivated",
        channel_padding="split",
        extra_skips=True,
        final_norm=False,
    ),
}


@register.architecture
def wide_resnet(
    num_classes: int,
    residual: Residual,
    *,
    blocks_per_group: int = 4,
    widen_factor: int = 10,
    dropout_rate: float = 0.0,
    variant: Literal["flax2020", "paper", "autoaugment"] = "flax2020",
    conv_bias: bool | None = None,
    padding: Padding | None = None,
    bn_momentum: float | None = None,
    bn_eps: float | None = None,
    bn_unbiased: bool | None = None,
    conv_init: Init | None = None,
    dense_init: Init | None = None,
    shortcut: Shortcut | None = None,
    shortcut_input: ShortcutInput | None = None,
    channel_padding: ChannelPadding | None = None,
    extra_skips: bool | None = None,
    final_norm: bool | None = None,
) -> nn.Module:
    """A Wide ResNet of 6 blocks_per_group + 4 layers: few blocks with many channels.

    Wide Residual Networks (Zagoruyko and Komodakis, 2016; arXiv:1605.07146): a group of
    blocks each of 16, 32 and 64 times ``widen_factor`` channels. A block is norm, ReLU, 3x3,
    norm, ReLU, dropout, 3x3; the first of the second and third group halve the image.

    Args:
        num_classes: K.
        residual: The residual port.
        blocks_per_group: Blocks in each of the three groups; 4 for WRN-28, which the Flax
            example calls 26.
        widen_factor: How many times 16, 32 and 64 channels.
        dropout_rate: Share of single activations dropped between a block's convolutions.
        variant: The Flax example of 2020, the authors' code, or AutoAugment's. What follows
            changes one detail of it; None: as it is there.
        conv_bias: Whether convolutions have a bias.
        padding: Of strided convolutions: as XLA's SAME, or the same on all sides.
        bn_momentum: Weight of a step in BatchNorm's running statistics.
        bn_eps: BatchNorm's epsilon.
        bn_unbiased: Whether the running variance is the unbiased one.
        conv_init: Initialiser of convolution kernels.
        dense_init: Initialiser of the classifier's kernel.
        shortcut: Where channels or size change.
        shortcut_input: Whether such a shortcut starts from the block's raw input or shares
            its first norm and ReLU, or whether only the network's first block does that.
        channel_padding: Whether channels that a shortcut without weights lacks are zeros
            behind its own, or half of them before and half behind.
        extra_skips: Whether inputs are also added past whole groups and past all of them.
        final_norm: Whether residual paths end in one more norm.

    Raises:
        ConfigError: A setting is out of its range or changes nothing.

    Differs from the paper: variant ``flax2020`` has 3x3 shortcuts from the raw input, biases,
    XLA's padding, the biased running variance and LeCun's initialisation. ``autoaugment``, the
    network in the code of AutoAugment (Cubuk et al., 2019; arXiv:1805.09501), has shortcuts
    without weights, mostly from the raw input, extra skips, the same padding, and a classifier
    that starts uniform within 1 / sqrt(K). google-research/sam has it with zeros behind, the
    biased running variance and, unless asked for, no extra skips.
    """
    check_at_least(1, blocks_per_group=blocks_per_group, widen_factor=widen_factor)
    check_dropout(dropout_rate)
    details = choose(
        VARIANTS,
        variant,
        conv_bias=conv_bias,
        padding=padding,
        bn_momentum=bn_momentum,
        bn_eps=bn_eps,
        bn_unbiased=bn_unbiased,
        conv_init=conv_init,
        dense_init=dense_init,
        shortcut=shortcut,
        shortcut_input=shortcut_input,
        channel_padding=channel_padding,
        extra_skips=extra_skips,
        final_norm=final_norm,
    )
    if channel_padding and details.shortcut != "pool_pad" and not details.extra_skips:
        raise ConfigError(
            f"is {channel_padding!r}, but no shortcut lacks channels; expected it with "
            "wide_resnet.shortcut = 'pool_pad' or wide_resnet.extra_skips = True",
            parameter="channel_padding",
        )
    widths = [16 * widen_factor, 32 * widen_factor, 64 * widen_factor]

    def make_block(plan: BlockPlan) -> nn.Module:
        return wide_block(details, plan, residual, dropout_rate=dropout_rate)

    stem = chain(conv=details.conv(3, STEM_CHANNELS, 3))
    groups = build_groups(plan_groups(STEM_CHANNELS, widths, blocks_per_group), make_block)
    return ResidualNetwork(
        stem=stem,
        blocks=SkippedGroups(groups, STRIDES, details.channel_padding)
        if details.extra_skips
        else groups,
        last=chain(norm=details.norm(widths[-1]), relu=nn.ReLU(inplace=True)),
        head=details.dense(widths[-1], num_classes),
    )


def wide_block(
    details: Details, plan: BlockPlan, residual: Residual, *, dropout_rate: float
) -> nn.Module:
    """A pre-activated block of two 3x3 convolutions, with dropout between them."""
    is_shared = SHARES[details.shortcut_input](plan)
    shape = (plan.in_channels, plan.channels)

    def make_path() -> nn.Module:
        return chain(
            norm1=None if is_shared else details.norm(plan.in_channels),
            relu1=None if is_shared else nn.ReLU(inplace=True),
            conv1=details.conv(*shape, 3, plan.stride),
            norm2=details.norm(plan.channels),
            relu2=nn.ReLU(inplace=True),
            dropout=Dropout(dropout_rate) if dropout_rate else None,
            conv2=details.conv(plan.channels, plan.channels, 3),
            norm3=details.norm(plan.channels) if details.final_norm else None,
        )

    return ResidualBlock(
        before=chain(norm=details.norm(plan.in_channels), relu=nn.ReLU(inplace=True))
        if is_shared
        else None,
        residual=residual(make_path, plan.site(final_norm=details.final_norm)),
        shortcut=nn.Identity()
        if plan.is_identity
        else project(details.shortcut, details, *shape, plan.stride),
        padding=details.channel_padding,
    )


@register.architecture
def wrn26_10(num_classes: int, residual: Residual, *, dropout_rate: float = 0.3) -> nn.Module:
    """The Flax example's WRN-26-10: 38.6 M parameters, of the depth that others call 28.

    Args:
        num_classes: K.
        residual: The residual port.
        dropout_rate: Share of single activations dropped between a block's convolutions.
    """
    return wide_resnet(
        num_classes, residual, blocks_per_group=4, widen_factor=10, dropout_rate=dropout_rate
    )


@register.architecture
def wrn26_2(num_classes: int, residual: Residual, *, dropout_rate: float = 0.3) -> nn.Module:
    """The Flax example's WRN-26-2: 1.6 M parameters, of the depth that others call 28.

    Args:
        num_classes: K.
        residual: The residual port.
        dropout_rate: Share of single activations dropped between a block's convolutions.
    """
    return wide_resnet(
        num_classes, residual, blocks_per_group=4, widen_factor=2, dropout_rate=dropout_rate
    )
