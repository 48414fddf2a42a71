"""The network of Shake-Shake (Gastaldi, 2017; arXiv:1705.07485)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo import register
from cifarzoo.protocols import Layers, LayersFactory, PositiveInt, Residual, check_settings
from cifarzoo.zoo.architectures.residual.blocks import (
    SHORTCUTS,
    BlockPlan,
    ResidualBlock,
    ResidualNetwork,
    build_groups,
    chain,
    check_parallel_paths,
)
from cifarzoo.zoo.architectures.variants import choose, make_layers
from cifarzoo.zoo.layers.conventions import autoaugment_layers, flax2020_layers, paper_layers


class TwoPath(nn.Module):
    """Two strided 1x1 convolutions, each with half of the channels, on grids a pixel apart.

    A grid that leaves the image sees zeros there.

    Args:
        make: Makes the convolutions.
        plan: Channels and stride of the block.
        shift: By how many pixels the second grid lies below and to the right of the first.
    """

    def __init__(self, make: Layers, plan: BlockPlan, *, shift: int) -> None:
        super().__init__()
        half = plan.channels // 2
        self.conv1 = make.conv(plan.in_channels, half, 1, plan.stride)
        self.conv2 = make.conv(plan.in_channels, plan.channels - half, 1, plan.stride)
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        shifted = F.pad(x, (-self.shift, self.shift, -self.shift, self.shift))
        return torch.cat([self.conv1(x), self.conv2(shifted)], dim=1)


Shortcut = Literal["conv3x3", "conv1x1", "two_path", "two_path_down"]
PATHS: Mapping[str, Callable[[Layers, BlockPlan], nn.Module]] = {
    **SHORTCUTS,
    "two_path": partial(TwoPath, shift=-1),
    "two_path_down": partial(TwoPath, shift=1),
}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What differs between published networks; ``shake_resnet`` says what each word means."""

    layers: LayersFactory
    shortcut: Shortcut
    shortcut_relu: bool = False
    stem_norm: bool = True


VARIANTS = {
    "flax2020": Variant(layers=flax2020_layers, shortcut="conv3x3", stem_norm=False),
    "paper": Variant(layers=paper_layers, shortcut="two_path", shortcut_relu=True),
    "autoaugment": Variant(layers=autoaugment_layers, shortcut="two_path_down"),
}


@register.architecture
def shake_resnet(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    blocks_per_group: PositiveInt = 4,
    widen_factor: PositiveInt = 6,
    variant: Literal["flax2020", "paper", "autoaugment"] = "flax2020",
    layers: LayersFactory | None = None,
    stem_norm: bool | None = None,
    shortcut: Shortcut | None = None,
    shortcut_relu: bool | None = None,
) -> nn.Module:
    """A ResNet of 6 blocks_per_group + 2 layers with parallel paths, for shake_shake to merge.

    The network of Shake-Shake regularization (Gastaldi, 2017; arXiv:1705.07485). A path is
    ReLU, 3x3, norm, ReLU, 3x3, norm; the first blocks of the second and third group halve the
    image. Its name there is 26 2x96d for 4 blocks a group and widen factor 6.

    Args:
        num_classes: K.
        residual: The residual port; a regularizer has to merge its paths.
        in_channels: Channels of the images.
        blocks_per_group: Blocks in each of the three groups.
        widen_factor: How many times 16, 32 and 64 channels.
        variant: The Flax example of 2020, the author's code, or AutoAugment's. What follows
            changes one part of it; None: as it is there.
        layers: What convolutions, norms and the classifier are made with.
        stem_norm: Whether the first convolution is followed by a norm.
        shortcut: Where channels or size change; a norm follows. The second of two paths is a
            pixel above and to the left of the first, or below and to the right (``down``).
        shortcut_relu: Whether such a shortcut starts with a ReLU.

    Raises:
        ConfigError: A setting is out of its range, or no regularizer merges parallel paths.

    Differs from the paper: variant ``flax2020`` has 3x3 shortcuts from the raw input, no norm
    after the stem, and ``flax2020_layers``. ``autoaugment``, the network in the code of
    AutoAugment (Cubuk et al., 2019; arXiv:1805.09501), has two-path shortcuts without a ReLU
    whose second path is shifted the other way, and ``autoaugment_layers``; its coefficients
    are those of ``shake_shake.distribution = 'ratio'``.
    """
    check_settings(shake_resnet, locals())
    form = choose(
        VARIANTS,
        variant,
        layers=layers,
        stem_norm=stem_norm,
        shortcut=shortcut,
        shortcut_relu=shortcut_relu,
    )
    check_parallel_paths(residual)
    make = make_layers(form.layers)
    widths = [16 * widen_factor, 32 * widen_factor, 64 * widen_factor]
    return ResidualNetwork(
        stem=chain(
            conv=make.conv(in_channels, 16, 3), norm=make.norm(16) if form.stem_norm else None
        ),
        blocks=build_groups(
            lambda plan: shake_block(make, form, plan, residual),
            in_channels=16,
            widths=widths,
            blocks_per_group=blocks_per_group,
        ),
        last=chain(relu=nn.ReLU()),
        head=make.dense(widths[-1], num_classes),
    )


def shake_block(make: Layers, form: Variant, plan: BlockPlan, residual: Residual) -> nn.Module:
    """A block whose paths start with a ReLU of their own and end in a norm."""

    def make_path() -> nn.Module:
        return chain(
            relu1=nn.ReLU(),  # not in place: the other path and the shortcut read x
            conv1=make.conv(plan.in_channels, plan.channels, 3, plan.stride),
            norm1=make.norm(plan.channels),
            relu2=nn.ReLU(inplace=True),
            conv2=make.conv(plan.channels, plan.channels, 3),
            norm2=make.norm(plan.channels),
        )

    return ResidualBlock(
        residual=residual(make_path, plan.site(final_norm=True)),
        shortcut=nn.Identity()
        if plan.is_identity
        else chain(
            relu=nn.ReLU() if form.shortcut_relu else None,
            conv=PATHS[form.shortcut](make, plan),
            norm=make.norm(plan.channels),
        ),
    )
