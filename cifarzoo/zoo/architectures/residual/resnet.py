"""The ResNets of Deep Residual Learning (He et al., 2015; arXiv:1512.03385) on small images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from cifarzoo import register
from cifarzoo.protocols import Layers, LayersFactory, PositiveInt, Residual, check_settings
from cifarzoo.zoo.architectures.residual.blocks import (
    BlockPlan,
    ResidualBlock,
    ResidualNetwork,
    build_groups,
    chain,
    conv1x1,
    subsample_pad,
)
from cifarzoo.zoo.architectures.residual.depths import blocks_in
from cifarzoo.zoo.architectures.variants import choose, make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers, torch_layers

Shortcut = Literal["subsample_pad", "conv1x1"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What differs between published CIFAR ResNets; ``resnet`` says what each word means."""

    layers: LayersFactory
    shortcut: Shortcut


VARIANTS = {
    "paper": Variant(layers=he2015_layers, shortcut="subsample_pad"),
    "torch": Variant(layers=torch_layers, shortcut="conv1x1"),
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
    stem_stride: PositiveInt = 1,
    variant: Literal["paper", "torch"] = "paper",
    layers: LayersFactory | None = None,
    shortcut: Shortcut | None = None,
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
        depth: Layers, 6 n + 2; of another number of groups 2 num_groups n + 2.
        width: Channels of the stem and the first group; each further group has twice as many.
        num_groups: Groups of blocks; each but the first halves the image.
        stem_stride: 2 halves the image at once, for a quarter of the arithmetic.
        variant: The paper, or ResNets as people write them in PyTorch. What follows changes
            one part of it; None: as it is there.
        layers: What convolutions, norms and the classifier are made with.
        shortcut: Where channels or size change: every second pixel and channels of zeros
            (option A of the paper), or a 1x1 convolution and a norm (option B).

    Raises:
        ConfigError: A setting is out of its range.

    Differs from the paper: variant ``torch`` has option B and torch's initialisation.
    """
    check_settings(resnet, locals())
    blocks_per_group = blocks_in(depth, per_group=2 * num_groups)
    form = choose(VARIANTS, variant, layers=layers, shortcut=shortcut)
    make = make_layers(form.layers)
    widths = [width * 2**group for group in range(num_groups)]
    return ResidualNetwork(
        stem=chain(
            conv=make.conv(in_channels, width, 3, stem_stride),
            norm=make.norm(width),
            relu=nn.ReLU(inplace=True),
        ),
        blocks=build_groups(
            lambda plan: plain_block(make, form, plan, residual),
            in_channels=width,
            widths=widths,
            blocks_per_group=blocks_per_group,
        ),
        last=nn.Identity(),  # the last block ends in a ReLU
        head=make.dense(widths[-1], num_classes),
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
    if form.shortcut == "subsample_pad":
        return chain(conv=subsample_pad(make, plan))
    return chain(conv=conv1x1(make, plan), norm=make.norm(plan.channels))
