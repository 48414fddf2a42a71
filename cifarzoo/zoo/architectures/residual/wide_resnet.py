"""Wide Residual Networks (Zagoruyko and Komodakis, 2016; arXiv:1605.07146)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.layers.dropout import Dropout
from cifarzoo.protocols import (
    Fraction,
    Layers,
    LayersFactory,
    PositiveInt,
    Residual,
    check_settings,
)
from cifarzoo.zoo.architectures.residual.blocks import (
    SHORTCUTS,
    BlockPlan,
    ChannelPadding,
    ResidualBlock,
    ResidualNetwork,
    build_groups,
    chain,
)
from cifarzoo.zoo.architectures.residual.depths import StrideAt
from cifarzoo.zoo.architectures.residual.group_skips import GroupSkips
from cifarzoo.zoo.architectures.variants import choose, make_layers
from cifarzoo.zoo.layers.conventions import autoaugment_layers, flax2020_layers, paper_layers

Shortcut = Literal["conv3x3", "conv1x1", "pool_pad"]
ShortcutInput = Literal["raw", "preactivated", "first_preactivated", "groups_preactivated"]
# Which blocks share their first norm and ReLU with their shortcut.
SHARES: Mapping[str, Callable[[BlockPlan], bool]] = {
    "raw": lambda _: False,
    "preactivated": lambda plan: not plan.is_identity,
    "first_preactivated": lambda plan: plan.index == 1,
    "groups_preactivated": lambda plan: plan.index == 1 or not plan.is_identity,
}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What differs between published Wide ResNets; ``wide_resnet`` says what each word means."""

    layers: LayersFactory
    shortcut: Shortcut
    shortcut_input: ShortcutInput
    channel_padding: ChannelPadding = "end"
    extra_skips: bool = False
    final_norm: bool = False
    stride_at: StrideAt = "first"


VARIANTS = {
    "flax2020": Variant(layers=flax2020_layers, shortcut="conv3x3", shortcut_input="raw"),
    "paper": Variant(layers=paper_layers, shortcut="conv1x1", shortcut_input="preactivated"),
    "autoaugment": Variant(
        layers=autoaugment_layers,
        shortcut="pool_pad",
        shortcut_input="first_preactivated",
        channel_padding="split",
        extra_skips=True,
    ),
}


@register.architecture
def wide_resnet(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    blocks_per_group: PositiveInt = 4,
    widen_factor: PositiveInt = 10,
    dropout_rate: Fraction = 0.0,
    variant: Literal["flax2020", "paper", "autoaugment"] = "flax2020",
    layers: LayersFactory | None = None,
    shortcut: Shortcut | None = None,
    shortcut_input: ShortcutInput | None = None,
    channel_padding: ChannelPadding | None = None,
    extra_skips: bool | None = None,
    final_norm: bool | None = None,
    stride_at: StrideAt | None = None,
) -> nn.Module:
    """A Wide ResNet of 6 blocks_per_group + 4 layers: few blocks with many channels.

    Wide Residual Networks (Zagoruyko and Komodakis, 2016; arXiv:1605.07146), table 1: groups
    of blocks with 16, 32 and 64 times ``widen_factor`` channels; the second and third halve
    the image. A block is norm, ReLU, 3x3, norm, ReLU, dropout, 3x3 (figure 1d).

    Args:
        num_classes: K.
        residual: The residual port.
        in_channels: Channels of the images.
        blocks_per_group: Blocks in each of the three groups; 4 for WRN-28, which the Flax
            example calls 26.
        widen_factor: How many times 16, 32 and 64 channels.
        dropout_rate: Share of single activations dropped between a block's convolutions.
        variant: The Flax example of 2020, the authors' code, or AutoAugment's. What follows
            changes one part of it; None: as it is there.
        layers: What convolutions, norms and the classifier are made with.
        shortcut: Where channels or size change.
        shortcut_input: Whether such a shortcut starts from the block's raw input or shares
            its first norm and ReLU; whether only the network's first block shares them, or the
            first block of each group, also where its shortcut changes nothing.
        channel_padding: Whether channels that a shortcut without weights lacks are zeros
            behind its own, or half of them before and half behind.
        extra_skips: Whether inputs are also added past whole groups and past all of them.
        final_norm: Whether residual paths end in one more norm, which ShakeDrop needs.
        stride_at: Which of a block's convolutions halves the image: the ``first``, or the
            ``second``, as in meliketoy/wide-resnet.pytorch and what was made of it.

    Raises:
        ConfigError: A setting is out of its range or changes nothing.

    Differs from the paper: variant ``flax2020`` has 3x3 shortcuts from the raw input and
    ``flax2020_layers``. ``autoaugment``, the network in the code of AutoAugment (Cubuk et al.,
    2019; arXiv:1805.09501), has shortcuts without weights, mostly from the raw input, extra
    skips, and ``autoaugment_layers``. google-research/sam has it with zeros behind, the biased
    running variance and, unless asked for, no extra skips.
    """
    check_settings(wide_resnet, locals())
    form = choose(
        VARIANTS,
        variant,
        layers=layers,
        shortcut=shortcut,
        shortcut_input=shortcut_input,
        channel_padding=channel_padding,
        extra_skips=extra_skips,
        final_norm=final_norm,
        stride_at=stride_at,
    )
    if channel_padding and form.shortcut != "pool_pad" and not form.extra_skips:
        raise ConfigError(
            f"is {channel_padding!r}, but no shortcut lacks channels; expected it with "
            "wide_resnet.shortcut = 'pool_pad' or wide_resnet.extra_skips = True",
            parameter="channel_padding",
        )
    make = make_layers(form.layers)
    widths = [16 * widen_factor, 32 * widen_factor, 64 * widen_factor]
    stem = chain(conv=make.conv(in_channels, 16, 3))
    groups = build_groups(
        lambda plan: wide_block(make, form, plan, residual, dropout_rate=dropout_rate),
        in_channels=16,
        widths=widths,
        blocks_per_group=blocks_per_group,
    )
    return ResidualNetwork(
        stem=stem,
        blocks=GroupSkips(groups, form.channel_padding) if form.extra_skips else groups,
        last=chain(norm=make.norm(widths[-1]), relu=nn.ReLU(inplace=True)),
        head=make.dense(widths[-1], num_classes),
    )


def wide_block(
    make: Layers, form: Variant, plan: BlockPlan, residual: Residual, *, dropout_rate: float
) -> nn.Module:
    """A pre-activated block of two 3x3 convolutions, with dropout between them (section 2.4)."""
    is_shared = SHARES[form.shortcut_input](plan)
    first, second = (plan.stride, 1) if form.stride_at == "first" else (1, plan.stride)

    def make_path() -> nn.Module:
        return chain(
            norm1=None if is_shared else make.norm(plan.in_channels),
            relu1=None if is_shared else nn.ReLU(inplace=True),
            conv1=make.conv(plan.in_channels, plan.channels, 3, first),
            norm2=make.norm(plan.channels),
            relu2=nn.ReLU(inplace=True),
            dropout=Dropout(dropout_rate) if dropout_rate else None,
            conv2=make.conv(plan.channels, plan.channels, 3, second),
            norm3=make.norm(plan.channels) if form.final_norm else None,
        )

    return ResidualBlock(
        before=chain(norm=make.norm(plan.in_channels), relu=nn.ReLU(inplace=True))
        if is_shared
        else None,
        residual=residual(make_path, plan.site(final_norm=form.final_norm)),
        shortcut=nn.Identity()
        if plan.is_identity
        else chain(conv=SHORTCUTS[form.shortcut](make, plan)),
        padding=form.channel_padding,
    )
