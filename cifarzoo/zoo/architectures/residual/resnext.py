"""ResNeXt: bottlenecks of many narrow paths (Xie et al., 2017; arXiv:1611.05431)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from cifarzoo import register
from cifarzoo.protocols import LayersFactory, PositiveInt, Residual, check_settings
from cifarzoo.zoo.architectures.residual.blocks import (
    ResidualNetwork,
    build_groups,
    check_parallel_paths,
    conv_norm_act,
)
from cifarzoo.zoo.architectures.residual.bottleneck import bottleneck_block
from cifarzoo.zoo.architectures.residual.depths import blocks_in
from cifarzoo.zoo.architectures.variants import choose, make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers, paper_layers

STEM_CHANNELS = 64
EXPANSION = 4  # of 64 channels: blocks give 256, 512 and 1024


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What differs between published ResNeXts.

    Attributes:
        layers: What convolutions, norms and the classifier are made with.
        has_parallel_paths: Whether a regularizer has to merge parallel paths.
    """

    layers: LayersFactory
    has_parallel_paths: bool = False


VARIANTS = {
    "paper": Variant(layers=he2015_layers),
    "shake_shake": Variant(layers=paper_layers, has_parallel_paths=True),
}


@register.architecture
def resnext(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    depth: PositiveInt = 29,
    cardinality: PositiveInt = 8,
    base_width: PositiveInt = 64,
    stem_kernel_size: Literal[1, 3] = 3,
    variant: Literal["paper", "shake_shake"] = "paper",
    layers: LayersFactory | None = None,
) -> nn.Module:
    """A ResNeXt of depth 9 n + 2, whose 3x3 convolutions have groups.

    Aggregated Residual Transformations for Deep Neural Networks (Xie et al., 2017;
    arXiv:1611.05431), section 5.3: n bottlenecks each that give 256, 512 and 1024 channels; their
    3x3 convolutions have ``cardinality`` groups of ``base_width`` channels in the first group of
    blocks, and of twice as many in each further one.

    Args:
        num_classes: K.
        residual: The residual port.
        in_channels: Channels of the images.
        depth: Layers, 9 n + 2.
        cardinality: Groups of a 3x3 convolution, the paper's C.
        base_width: Channels of one of them in the first group of blocks, the paper's d.
        stem_kernel_size: Side of the first convolution's kernels: the paper's 3, or 1, as in
            kuangliu/pytorch-cifar.
        variant: The paper, or the network of Shake-Shake for CIFAR-100 (Gastaldi, 2017;
            arXiv:1705.07485), 29 2x4x64d for cardinality 4, whose two paths ``shake_shake`` merges.
        layers: What convolutions, norms and the classifier are made with; None: as the variant
            has it, ``he2015_layers`` or ``paper_layers``.

    Raises:
        ConfigError: A setting is out of its range, or no regularizer merges parallel paths.
    """
    check_settings(resnext, locals())
    form = choose(VARIANTS, variant, layers=layers)
    if form.has_parallel_paths:
        check_parallel_paths(residual)
    make = make_layers(form.layers)
    widths = [STEM_CHANNELS * 2**group for group in range(3)]
    return ResidualNetwork(
        stem=conv_norm_act(make, in_channels, STEM_CHANNELS, stem_kernel_size),
        blocks=build_groups(
            lambda plan: bottleneck_block(
                make,
                plan,
                residual,
                inner=cardinality * base_width * plan.channels // STEM_CHANNELS,
                groups=cardinality,
            ),
            in_channels=STEM_CHANNELS,
            widths=widths,
            blocks_per_group=blocks_in(depth, per_group=9),
            expansion=EXPANSION,
        ),
        last=nn.Identity(),
        head=make.dense(EXPANSION * widths[-1], num_classes),
    )
