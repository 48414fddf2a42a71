"""What differs between published versions of one network, as data.

Each family has a ``Details`` of its own over ``LayerDetails``, and named values of it; no
family asks which variant it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from torch import nn

from cifarzoo.errors import ConfigError
from cifarzoo.layers.batch_norm import BatchNorm2d
from cifarzoo.zoo.architectures.layers import INITIALISERS, PADDINGS
from cifarzoo.zoo.architectures.limits import check_choice

Padding = Literal["same", "symmetric"]
Init = Literal["lecun_truncated", "he_fan_in", "he_fan_out", "torch", "uniform_fan_out"]


@dataclass(frozen=True, kw_only=True)
class LayerDetails:
    """How convolutions, norms and the classifier are made; all families share these.

    Attributes:
        conv_bias: Whether convolutions have a bias, also where a norm follows.
        padding: Of strided 3x3 convolutions: ``same`` as XLA pads (even sizes at the bottom
            and right only), ``symmetric`` as torch does.
        bn_momentum: Weight of a step in the running statistics.
        bn_eps: Added to the variance.
        bn_unbiased: Whether the running variance is the unbiased one.
        conv_init: Initialiser of convolution kernels; biases are 0.
        dense_init: Initialiser of the classifier's kernel; its bias is 0.
    """

    conv_bias: bool
    padding: Padding
    bn_momentum: float
    bn_eps: float
    bn_unbiased: bool
    conv_init: Init
    dense_init: Init

    def __post_init__(self) -> None:
        check_choice(PADDINGS, padding=self.padding)
        check_choice(INITIALISERS, conv_init=self.conv_init, dense_init=self.dense_init)
        if not 0 < self.bn_momentum <= 1:
            raise ConfigError(
                f"is {self.bn_momentum!r}; expected above 0 to 1", parameter="bn_momentum"
            )
        if not 0 < self.bn_eps < 1:
            raise ConfigError(
                f"is {self.bn_eps!r}; expected above 0 to below 1", parameter="bn_eps"
            )

    def conv(self, in_channels: int, channels: int, kernel_size: int, stride: int = 1) -> nn.Module:
        """A convolution that keeps the size, up to its stride."""
        make = PADDINGS[self.padding]
        conv = make(in_channels, channels, kernel_size, stride, bias=self.conv_bias)
        INITIALISERS[self.conv_init](conv.weight)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        return conv

    def norm(self, channels: int) -> BatchNorm2d:
        """A batch normalisation."""
        return BatchNorm2d(channels, self.bn_eps, self.bn_momentum, unbiased=self.bn_unbiased)

    def dense(self, features: int, num_classes: int) -> nn.Linear:
        """The classifier."""
        dense = nn.Linear(features, num_classes)
        INITIALISERS[self.dense_init](dense.weight)
        nn.init.zeros_(dense.bias)
        return dense


# The layers in the code behind each variant, the same in all families that have it.
FLAX2020 = LayerDetails(
    conv_bias=True,
    padding="same",
    bn_momentum=0.1,
    bn_eps=1e-5,
    bn_unbiased=False,
    conv_init="lecun_truncated",
    dense_init="lecun_truncated",
)
PAPER = LayerDetails(
    conv_bias=False,
    padding="symmetric",
    bn_momentum=0.1,
    bn_eps=1e-5,
    bn_unbiased=True,
    conv_init="he_fan_out",
    dense_init="torch",
)
AUTOAUGMENT = LayerDetails(
    conv_bias=False,
    padding="same",
    bn_momentum=0.1,
    bn_eps=1e-5,
    bn_unbiased=True,  # TensorFlow's fused norm is so
    conv_init="he_fan_out",
    dense_init="uniform_fan_out",
)

D = TypeVar("D", bound=LayerDetails)


def choose(variants: Mapping[str, D], variant: str, **changes: Any) -> D:
    """The details of a named variant.

    Args:
        variants: Details by name.
        variant: One of the names.
        **changes: Details of one's own; None: as the variant has it.

    Raises:
        ConfigError: There is no such variant, or a detail is out of range.
    """
    check_choice(variants, variant=variant)
    return replace(variants[variant], **{k: v for k, v in changes.items() if v is not None})
