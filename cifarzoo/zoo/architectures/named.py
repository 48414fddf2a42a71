"""Networks by the names that papers give them, each a family with its settings.

The Flax example's own names are beside their families: they are other networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import nn

from cifarzoo import register
from cifarzoo.protocols import Residual
from cifarzoo.zoo.architectures.pyramidnet import ChannelRounding, pyramidnet
from cifarzoo.zoo.architectures.shake_resnet import shake_resnet
from cifarzoo.zoo.architectures.wide_resnet import wide_resnet

Variant = Literal["paper", "autoaugment"]
TABLE_ROUNDING: Mapping[str, ChannelRounding] = {"paper": "truncate"}


@register.architecture
def wrn28_10(
    num_classes: int, residual: Residual, *, dropout_rate: float = 0.0, variant: Variant = "paper"
) -> nn.Module:
    """WRN-28-10: 36.5 M parameters.

    Wide Residual Networks (Zagoruyko and Komodakis, 2016; arXiv:1605.07146).

    Args:
        num_classes: K.
        residual: The residual port.
        dropout_rate: Share of single activations dropped between a block's convolutions.
        variant: See ``wide_resnet``.
    """
    return wide_resnet(
        num_classes,
        residual,
        blocks_per_group=4,
        widen_factor=10,
        dropout_rate=dropout_rate,
        variant=variant,
    )


@register.architecture
def wrn40_10(
    num_classes: int, residual: Residual, *, dropout_rate: float = 0.0, variant: Variant = "paper"
) -> nn.Module:
    """WRN-40-10: 55.8 M parameters.

    Wide Residual Networks (Zagoruyko and Komodakis, 2016; arXiv:1605.07146).

    Args:
        num_classes: K.
        residual: The residual port.
        dropout_rate: Share of single activations dropped between a block's convolutions.
        variant: See ``wide_resnet``.
    """
    return wide_resnet(
        num_classes,
        residual,
        blocks_per_group=6,
        widen_factor=10,
        dropout_rate=dropout_rate,
        variant=variant,
    )


@register.architecture
def shake26_2x32d(num_classes: int, residual: Residual, *, variant: Variant = "paper") -> nn.Module:
    """Shake-Shake-26 2x32d: 2.9 M parameters.

    Shake-Shake regularization (Gastaldi, 2017; arXiv:1705.07485).

    Args:
        num_classes: K.
        residual: The residual port; a regularizer has to merge its paths.
        variant: See ``shake_resnet``.
    """
    return shake_resnet(num_classes, residual, blocks_per_group=4, widen_factor=2, variant=variant)


@register.architecture
def shake26_2x64d(num_classes: int, residual: Residual, *, variant: Variant = "paper") -> nn.Module:
    """Shake-Shake-26 2x64d: 11.7 M parameters.

    Shake-Shake regularization (Gastaldi, 2017; arXiv:1705.07485).

    Args:
        num_classes: K.
        residual: The residual port; a regularizer has to merge its paths.
        variant: See ``shake_resnet``.
    """
    return shake_resnet(num_classes, residual, blocks_per_group=4, widen_factor=4, variant=variant)


@register.architecture
def shake26_2x96d(num_classes: int, residual: Residual, *, variant: Variant = "paper") -> nn.Module:
    """Shake-Shake-26 2x96d: 26.2 M parameters.

    Shake-Shake regularization (Gastaldi, 2017; arXiv:1705.07485).

    Args:
        num_classes: K.
        residual: The residual port; a regularizer has to merge its paths.
        variant: See ``shake_resnet``.
    """
    return shake_resnet(num_classes, residual, blocks_per_group=4, widen_factor=6, variant=variant)


@register.architecture
def pyramid110_a84(
    num_classes: int, residual: Residual, *, variant: Variant = "paper"
) -> nn.Module:
    """PyramidNet-110 of basic blocks and alpha 84: 3.9 M parameters.

    Deep Pyramidal Residual Networks (Han et al., 2017; arXiv:1610.02915).

    Args:
        num_classes: K.
        residual: The residual port.
        variant: See ``pyramidnet``.
    """
    return pyramidnet(num_classes, residual, depth=110, alpha=84.0, block="basic", variant=variant)


@register.architecture
def pyramid110_a270(
    num_classes: int, residual: Residual, *, variant: Variant = "paper"
) -> nn.Module:
    """PyramidNet-110 of basic blocks and alpha 270: 28.5 M parameters.

    Deep Pyramidal Residual Networks (Han et al., 2017; arXiv:1610.02915).

    Args:
        num_classes: K.
        residual: The residual port.
        variant: See ``pyramidnet``.
    """
    return pyramidnet(num_classes, residual, depth=110, alpha=270.0, block="basic", variant=variant)


@register.architecture
def pyramid164_a270(
    num_classes: int, residual: Residual, *, variant: Variant = "paper"
) -> nn.Module:
    """PyramidNet-164 of bottlenecks and alpha 270: 27.2 M parameters.

    Deep Pyramidal Residual Networks (Han et al., 2017; arXiv:1610.02915).

    Args:
        num_classes: K.
        residual: The residual port.
        variant: See ``pyramidnet``.
    """
    return pyramidnet(num_classes, residual, depth=164, alpha=270.0, variant=variant)


@register.architecture
def pyramid272_a200(
    num_classes: int, residual: Residual, *, variant: Variant = "paper"
) -> nn.Module:
    """PyramidNet-272 of bottlenecks and alpha 200: 26.0 M parameters.

    Deep Pyramidal Residual Networks (Han et al., 2017; arXiv:1610.02915). Variant ``paper``
    cuts widths off here: that gives the 26.0 M parameters of the paper, where rounding, as in
    the authors' code, gives 26.2 M.

    Args:
        num_classes: K.
        residual: The residual port.
        variant: See ``pyramidnet``.
    """
    return pyramidnet(
        num_classes,
        residual,
        depth=272,
        alpha=200.0,
        variant=variant,
        channel_rounding=TABLE_ROUNDING.get(variant),
    )
