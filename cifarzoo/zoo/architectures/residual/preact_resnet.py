"""ResNets whose blocks begin with their norms (He et al., 2016; arXiv:1603.05027)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Layers, LayersFactory, PositiveInt, Residual, check_settings
from cifarzoo.zoo.architectures.residual.blocks import (
    BlockPlan,
    ResidualBlock,
    ResidualNetwork,
    build_groups,
    chain,
    conv1x1,
)
from cifarzoo.zoo.architectures.residual.depths import (
    EXPANSIONS,
    LAYERS_PER_BLOCK,
    Block,
    StrideAt,
    check_stride_at,
    group_sizes,
)
from cifarzoo.zoo.architectures.residual.wide_resnet import SHARES, ShortcutInput
from cifarzoo.zoo.architectures.variants import make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers


@dataclass(frozen=True, kw_only=True)
class Form:
    """What blocks are like; see ``preact_resnet``."""

    block: Block
    shortcut_input: ShortcutInput
    stride_at: StrideAt
    remove_first_relu: bool
    final_norm: bool


@register.architecture
def preact_resnet(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    depth: PositiveInt = 164,
    width: PositiveInt = 16,
    num_groups: PositiveInt = 3,
    block: Block = "bottleneck",
    blocks: Sequence[PositiveInt] | None = None,
    widths: Sequence[PositiveInt] | None = None,
    shortcut_input: ShortcutInput = "preactivated",
    stride_at: StrideAt | None = None,
    remove_first_relu: bool = False,
    final_norm: bool = False,
    norm_before_pooling: bool = True,
    layers: LayersFactory | None = None,
) -> nn.Module:
    """A ResNet of blocks that begin with a norm and a ReLU: 110, 164, 1001 layers.

    Identity Mappings in Deep Residual Networks (He et al., 2016; arXiv:1603.05027), figure 1b and
    appendix: n blocks each of 16, 32 and 64 channels, and four times as many where they are
    bottlenecks; a norm and a ReLU before the mean over pixels.

    Args:
        num_classes: K.
        residual: The residual port.
        in_channels: Channels of the images.
        depth: Layers, 9 n + 2 of bottlenecks and 6 n + 2 of basic blocks.
        width: Channels of the stem and the first group; each further group has twice as many.
        num_groups: Groups of blocks; each but the first halves the image.
        block: Two 3x3 convolutions, or a ``bottleneck``: 1x1, 3x3, and 1x1 to four times the
            channels.
        blocks: Blocks of each group where they differ, as in (3, 4, 6, 3), whose depth ``depth``
            is; None: all have as many.
        widths: Channels of the 3x3 convolutions of each group; None: those of ``width``.
        shortcut_input: Whether shortcuts that change channels or size share the block's first norm
            and ReLU, as in the authors' code, start from its raw input, or whether only the
            network's first block shares them, or the first block of each group, whatever its
            shortcut does.
        stride_at: Which convolution of a bottleneck halves the image: its first, as in the authors'
            code, or the 3x3, as others have it; None: the 3x3.
        remove_first_relu: Whether residual paths begin with a norm alone (Han et al., 2017;
            arXiv:1610.02915, section 3.3). What they share with their shortcut keeps its ReLU.
        final_norm: Whether residual paths end in one more norm, likewise, which ShakeDrop needs.
        norm_before_pooling: Whether a norm and a ReLU stand before the mean over pixels, which
            kuangliu/pytorch-cifar leaves out.
        layers: What convolutions, norms and the classifier are made with; None: ``he2015_layers``.

    Raises:
        ConfigError: A setting is out of its range.

    Differs from the paper: only where it is set so. hysts/pytorch_image_classification has
    ``shortcut_input = 'groups_preactivated'`` (its ``preact_stage`` all true), and bottlenecks of
    4, 32 and 64 channels, whose first group gives 16: ``preact_resnet164_hysts``.
    """
    check_settings(preact_resnet, locals())
    check_stride_at(stride_at, block, family="preact_resnet")
    sizes = group_sizes(
        depth, blocks, num_groups=num_groups, layers_per_block=LAYERS_PER_BLOCK[block]
    )
    make = make_layers(layers or he2015_layers)
    if widths is None:
        widths = [width * 2**group for group in range(num_groups)]
    elif len(widths) != num_groups:
        raise ConfigError(
            f"is {list(widths)}; expected a number for each of {num_groups} groups",
            parameter="widths",
        )
    expansion = EXPANSIONS[block]
    form = Form(
        block=block,
        shortcut_input=shortcut_input,
        stride_at=stride_at or "second",
        remove_first_relu=remove_first_relu,
        final_norm=final_norm,
    )
    return ResidualNetwork(
        stem=chain(conv=make.conv(in_channels, width, 3)),
        blocks=build_groups(
            lambda plan: preact_block(make, form, plan, residual),
            in_channels=width,
            widths=widths,
            blocks_per_group=sizes,
            expansion=expansion,
        ),
        last=chain(norm=make.norm(expansion * widths[-1]), relu=nn.ReLU(inplace=True))
        if norm_before_pooling
        else nn.Identity(),
        head=make.dense(expansion * widths[-1], num_classes),
    )


def preact_block(make: Layers, form: Form, plan: BlockPlan, residual: Residual) -> nn.Module:
    """A block that begins with a norm and a ReLU, which its shortcut may share."""
    is_shared = SHARES[form.shortcut_input](plan)

    def first(*, has_relu: bool) -> dict[str, nn.Module | None]:
        relu = nn.ReLU(inplace=True) if has_relu else None
        return {"norm1": make.norm(plan.in_channels), "relu1": relu}

    def make_path() -> nn.Module:
        begun = {} if is_shared else first(has_relu=not form.remove_first_relu)
        convolutions = (
            basic(make, plan)
            if form.block == "basic"
            else bottleneck(make, plan, stride_at=form.stride_at)
        )
        ended = {"last_norm": make.norm(plan.out_channels)} if form.final_norm else {}
        return chain(**begun, **convolutions, **ended)

    return ResidualBlock(
        before=chain(**first(has_relu=True)) if is_shared else None,
        residual=residual(make_path, plan.site(final_norm=form.final_norm)),
        shortcut=nn.Identity() if plan.is_identity else chain(conv=conv1x1(make, plan)),
    )


def basic(make: Layers, plan: BlockPlan) -> dict[str, nn.Module | None]:
    """Two 3x3 convolutions, after the first norm and ReLU."""
    return {
        "conv1": make.conv(plan.in_channels, plan.channels, 3, plan.stride),
        "norm2": make.norm(plan.channels),
        "relu2": nn.ReLU(inplace=True),
        "conv2": make.conv(plan.channels, plan.channels, 3),
    }


def bottleneck(
    make: Layers, plan: BlockPlan, *, stride_at: StrideAt
) -> dict[str, nn.Module | None]:
    """1x1, 3x3 and 1x1 convolutions, after the first norm and ReLU."""
    first, second = (plan.stride, 1) if stride_at == "first" else (1, plan.stride)
    return {
        "conv1": make.conv(plan.in_channels, plan.channels, 1, first),
        "norm2": make.norm(plan.channels),
        "relu2": nn.ReLU(inplace=True),
        "conv2": make.conv(plan.channels, plan.channels, 3, second),
        "norm3": make.norm(plan.channels),
        "relu3": nn.ReLU(inplace=True),
        "conv3": make.conv(plan.channels, plan.out_channels, 1),
    }
