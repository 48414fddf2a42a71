"""The network of Shake-Shake (Gastaldi, 2017; arXiv:1705.07485)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
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
from cifarzoo.zoo.architectures.limits import check_at_least, check_choice
from cifarzoo.zoo.architectures.network import (
    BlockPlan,
    ResidualBlock,
    ResidualNetwork,
    build_groups,
    chain,
    plan_groups,
)
from cifarzoo.zoo.architectures.shortcuts import project

Shortcut = Literal["conv3x3", "conv1x1", "two_path", "two_path_down"]
STEM_CHANNELS = 16


@dataclass(frozen=True, kw_only=True)
class Details(LayerDetails):
    """What differs between published networks for Shake-Shake.

    Attributes:
        stem_norm: Whether the first convolution is followed by a norm.
        shortcut: Where channels or size change; a norm follows. The second of two paths is a
            pixel above and to the left of the first, or below and to the right (``down``).
        shortcut_relu: Whether such a shortcut starts with a ReLU.
    """

    stem_norm: bool
    shortcut: Shortcut
    shortcut_relu: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(get_args(Shortcut), shortcut=self.shortcut)


VARIANTS = {
    "flax2020": Details(
        **vars(FLAX2020),
        stem_norm=False,
        shortcut="conv3x3",
        shortcut_relu=False,
    ),
    "paper": Details(
        **vars(PAPER),
        stem_norm=True,
        shortcut="two_path",
        shortcut_relu=True,
    ),
    "autoaugment": Details(
        **vars(AUTOAUGMENT),
        stem_norm=True,
        shortcut="two_path_down",
        shortcut_relu=False,
    ),
}


@register.architecture
def shake_resnet(
    num_classes: int,
    residual: Residual,
    *,
    blocks_per_group: int = 4,
    widen_factor: int = 6,
    variant: Literal["flax2020", "paper", "autoaugment"] = "flax2020",
    conv_bias: bool | None = None,
    padding: Padding | None = None,
    bn_momentum: float | None = None,
    bn_eps: float | None = None,
    bn_unbiased: bool | None = None,
    conv_init: Init | None = None,
    dense_init: Init | None = None,
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
        blocks_per_group: Blocks in each of the three groups.
        widen_factor: How many times 16, 32 and 64 channels.
        variant: The Flax example of 2020, the author's code, or AutoAugment's. What follows
            changes one detail of it; None: as it is there.
        conv_bias: Whether convolutions have a bias.
        padding: Of strided convolutions: as XLA's SAME, or the same on all sides.
        bn_momentum: Weight of a step in BatchNorm's running statistics.
        bn_eps: BatchNorm's epsilon.
        bn_unbiased: Whether the running variance is the unbiased one.
        conv_init: Initialiser of convolution kernels.
        dense_init: Initialiser of the classifier's kernel.
        stem_norm: Whether the first convolution is followed by a norm.
        shortcut: Where channels or size change; a norm follows. The second of two paths is a
            pixel above and to the left of the first, or below and to the right (``down``).
        shortcut_relu: Whether such a shortcut starts with a ReLU.

    Raises:
        ConfigError: A setting is out of its range, or no regularizer merges parallel paths.

    Differs from the paper: variant ``flax2020`` has 3x3 shortcuts from the raw input, biases,
    no norm after the stem, XLA's padding, the biased running variance and LeCun's
    initialisation. ``autoaugment``, the network in the code of AutoAugment (Cubuk et al., 2019;
    arXiv:1805.09501), has two-path shortcuts without a ReLU whose second path is shifted the
    other way, XLA's padding, and a classifier that starts uniform within 1 / sqrt(K); its
    coefficients are those of ``shake_shake.distribution = 'ratio'``.
    """
    check_at_least(1, blocks_per_group=blocks_per_group, widen_factor=widen_factor)
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
        stem_norm=stem_norm,
        shortcut=shortcut,
        shortcut_relu=shortcut_relu,
    )
    if residual.num_paths == 1:
        raise ConfigError(
            "needs a regularizer that merges parallel residual paths; "
            "write run.regularizers = [@shake_shake]"
        )
    widths = [16 * widen_factor, 32 * widen_factor, 64 * widen_factor]

    def make_block(plan: BlockPlan) -> nn.Module:
        return shake_block(details, plan, residual)

    return ResidualNetwork(
        stem=chain(
            conv=details.conv(3, STEM_CHANNELS, 3),
            norm=details.norm(STEM_CHANNELS) if details.stem_norm else None,
        ),
        blocks=build_groups(plan_groups(STEM_CHANNELS, widths, blocks_per_group), make_block),
        last=chain(relu=nn.ReLU()),
        head=details.dense(widths[-1], num_classes),
    )


def shake_block(details: Details, plan: BlockPlan, residual: Residual) -> nn.Module:
    """A block whose paths start with a ReLU of their own and end in a norm."""
    shape = (plan.in_channels, plan.channels)

    def make_path() -> nn.Module:
        return chain(
            relu1=nn.ReLU(),  # not in place: the other path and the shortcut read x
            conv1=details.conv(*shape, 3, plan.stride),
            norm1=details.norm(plan.channels),
            relu2=nn.ReLU(inplace=True),
            conv2=details.conv(plan.channels, plan.channels, 3),
            norm2=details.norm(plan.channels),
        )

    return ResidualBlock(
        residual=residual(make_path, plan.site(final_norm=True)),
        shortcut=nn.Identity()
        if plan.is_identity
        else project(
            details.shortcut, details, *shape, plan.stride, relu=details.shortcut_relu, norm=True
        ),
    )


@register.architecture
def wrn26_6_ss(num_classes: int, residual: Residual) -> nn.Module:
    """The Flax example's WRN-26-6 for shake-shake: 27.0 M parameters; others call it 26 2x96d.

    Args:
        num_classes: K.
        residual: The residual port; a regularizer has to merge its paths.
    """
    return shake_resnet(num_classes, residual, blocks_per_group=4, widen_factor=6)
