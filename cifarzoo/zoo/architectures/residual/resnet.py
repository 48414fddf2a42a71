"""The ResNets of Deep Residual Learning (He et al., 2015; arXiv:1512.03385) on small images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from cifarzoo import register
from cifarzoo.protocols import Layers, LayersFactory, PositiveInt, Residual, check_settings
from cifarzoo.zoo.architectures.residual.blocks import (
    SHORTCUTS,
    BlockPlan,
    ResidualBlock,
    ResidualNetwork,
    build_groups,
    chain,
    conv1x1_norm,
    conv_norm_act,
)
from cifarzoo.zoo.architectures.residual.bottleneck import bottleneck_block
from cifarzoo.zoo.architectures.residual.depths import (
    EXPANSIONS,
    LAYERS_PER_BLOCK,
    Block,
    StrideAt,
    check_stride_at,
    group_sizes,
)
from cifarzoo.zoo.architectures.variants import choose, make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers, torch_layers

Shortcut = Literal["subsample_pad", "conv1x1", "pool_pad"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What differs between published CIFAR ResNets; ``resnet`` says what each word means."""

    layers: LayersFactory
    shortcut: Shortcut
    stride_at: StrideAt


VARIANTS = {
    "paper": Variant(layers=he2015_layers, shortcut="subsample_pad", stride_at="first"),
    "torch": Variant(layers=torch_layers, shortcut="conv1x1", stride_at="second"),
}


@register.architecture
def resnet(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    depth: PositiveInt = 20,
    width: PositiveInt = 16,
    num_groups: PositiveInt = 3,
    block: Block = "basic",
    blocks: Sequence[PositiveInt] | None = None,
    stem_stride: PositiveInt = 1,
    variant: Literal["paper", "torch"] = "paper",
    layers: LayersFactory | None = None,
    shortcut: Shortcut | None = None,
    stride_at: StrideAt | None = None,
) -> nn.Module:
    """A CIFAR ResNet of depth 6 n + 2: 20, 32, 44, 56, 110.

    Deep Residual Learning for Image Recognition (He et al., 2015; arXiv:1512.03385), section
    4.2: n blocks each of 16, 32 and 64 channels. A block is 3x3, norm, ReLU, 3x3, norm, and a
    ReLU after the sum. Four groups, of 64 channels and more, are the paper's ResNets for
    ImageNet (table 1) but for their stem.

    Args:
        num_classes: K.
        residual: The residual port.
        in_channels: Channels of the images.
        depth: Layers, 6 n + 2; of another number of groups 2 num_groups n + 2, and of bottlenecks
            3 num_groups n + 2.
        width: Channels of the stem and the first group; each further group has twice as many.
        num_groups: Groups of blocks; each but the first halves the image.
        block: Two 3x3 convolutions, or a ``bottleneck``: 1x1, 3x3, and 1x1 to four times the
            channels (figure 5).
        blocks: Blocks of each group where they differ, as in ResNet-50's (3, 4, 6, 3), whose
            depth 50 is; None: all have as many.
        stem_stride: 2 halves the image at once, for a quarter of the arithmetic.
        variant: The paper, or ResNets as people write them in PyTorch. What follows changes
            one part of it; None: as it is there.
        layers: What convolutions, norms and the classifier are made with.
        shortcut: Where channels or size change: every second pixel and channels of zeros
            (option A of the paper), a 1x1 convolution and a norm (option B), or means of 2x2 pixels
            and channels of zeros, as in yueatsprograms/Stochastic_Depth.
        stride_at: Which convolution of a bottleneck halves the image: its first, as in the paper,
            or the 3x3, as torchvision and others have it.

    Raises:
        ConfigError: A setting is out of its range.

    Differs from the paper: variant ``torch`` has option B, halves in the 3x3 convolution of
    bottlenecks, and has torch's initialisation.
    """
    check_settings(resnet, locals())
    blocks_per_group = group_sizes(
        depth, blocks, num_groups=num_groups, layers_per_block=LAYERS_PER_BLOCK[block]
    )
    form = choose(VARIANTS, variant, layers=layers, shortcut=shortcut, stride_at=stride_at)
    check_stride_at(stride_at, block, family="resnet")
    make = make_layers(form.layers)

    def make_block(plan: BlockPlan) -> nn.Module:
        if block == "basic":
            return plain_block(make, form, plan, residual)
        return bottleneck_block(
            make,
            plan,
            residual,
            inner=plan.channels,
            stride_at=form.stride_at,
            project=lambda make, plan: projection(make, form, plan),
        )

    widths = [width * 2**group for group in range(num_groups)]
    return ResidualNetwork(
        stem=conv_norm_act(make, in_channels, width, 3, stem_stride),
        blocks=build_groups(
            make_block,
            in_channels=width,
            widths=widths,
            blocks_per_group=blocks_per_group,
            expansion=EXPANSIONS[block],
        ),
        last=nn.Identity(),  # the last block ends in a ReLU
        head=make.dense(EXPANSIONS[block] * widths[-1], num_classes),
    )


def plain_block(make: Layers, form: Variant, plan: BlockPlan, residual: Residual) -> nn.Module:
    """A block of two 3x3 convolutions with a ReLU after the sum (figure 2, equation 2)."""

    def make_path() -> nn.Module:
        return chain(
            conv1=make.conv(plan.in_channels, plan.channels, 3, plan.stride),
            norm1=make.norm(plan.channels),
            relu1=nn.ReLU(inplace=True),
            conv2=make.conv(plan.channels, plan.channels, 3),
            norm2=make.norm(plan.channels),
        )

    return ResidualBlock(
        residual=residual(make_path, plan.site(final_norm=True)),
        shortcut=nn.Identity() if plan.is_identity else projection(make, form, plan),
        after=nn.ReLU(inplace=True),
    )


def projection(make: Layers, form: Variant, plan: BlockPlan) -> nn.Module:
    """The shortcut of a block whose output has another shape than its input."""
    if form.shortcut == "conv1x1":
        return conv1x1_norm(make, plan)
    return chain(conv=SHORTCUTS[form.shortcut](make, plan))
