"""The conventions of published codes: what a network makes its layers with, as one thing.

A family takes them whole and knows none of them. What is structural (blocks, widths,
shortcuts) isn't here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Le, Lt
from torch import nn

from cifarzoo import register
from cifarzoo.layers.batch_norm import BatchNorm2d
from cifarzoo.protocols import Layers, check_settings
from cifarzoo.zoo.layers.initialisers import INITIALISERS
from cifarzoo.zoo.layers.padding import PADDINGS

Padding = Literal["same", "symmetric"]
Init = Literal["lecun_truncated", "he_fan_in", "he_fan_out", "torch", "uniform_fan_out"]


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """Makes convolutions, norms and classifiers; see ``torch_layers`` for the attributes."""

    conv_bias: bool
    padding: Padding
    bn_momentum: float
    bn_eps: float
    bn_unbiased: bool
    conv_init: Init
    dense_init: Init

    def conv(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        groups: int = 1,
    ) -> nn.Conv2d:
        """A convolution that keeps the size, up to its stride; its bias, if any, is 0."""
        make = PADDINGS[self.padding]
        conv = make(in_channels, channels, kernel_size, stride, groups=groups, bias=self.conv_bias)
        INITIALISERS[self.conv_init](conv.weight)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        return conv

    def norm(self, channels: int) -> BatchNorm2d:
        """A batch normalisation of (N, channels, H, W)."""
        return BatchNorm2d(channels, self.bn_eps, self.bn_momentum, unbiased=self.bn_unbiased)

    def dense(self, features: int, num_classes: int) -> nn.Linear:
        """The classifier of (N, features); its bias is 0."""
        dense = nn.Linear(features, num_classes)
        INITIALISERS[self.dense_init](dense.weight)
        nn.init.zeros_(dense.bias)
        return dense


@register.layers
def torch_layers(
    *,
    conv_bias: bool = False,
    padding: Padding = "symmetric",
    bn_momentum: Annotated[float, Gt(0), Le(1)] = 0.1,
    bn_eps: Annotated[float, Gt(0), Lt(1)] = 1e-5,
    bn_unbiased: bool = True,
    conv_init: Init = "torch",
    dense_init: Init = "torch",
) -> Layers:
    """PyTorch's layers as it makes them, without biases that a norm would take away.

    Args:
        conv_bias: Whether convolutions have a bias, also where a norm follows.
        padding: Padding of strided 3x3 convolutions: ``same`` as XLA pads (even sizes at the
            bottom and right only), ``symmetric`` as torch does.
        bn_momentum: Weight of a step in the running statistics of norms.
        bn_eps: Number added to the variance in norms.
        bn_unbiased: Whether the running variance is the unbiased one.
        conv_init: Initialiser of convolution kernels; biases are 0.
        dense_init: Initialiser of the classifier's kernel; its bias is 0.

    Raises:
        ConfigError: A number is out of its range, or a word has no meaning.
    """
    check_settings(torch_layers, locals())
    return Conventions(
        conv_bias=conv_bias,
        padding=padding,
        bn_momentum=bn_momentum,
        bn_eps=bn_eps,
        bn_unbiased=bn_unbiased,
        conv_init=conv_init,
        dense_init=dense_init,
    )


he2015_layers = register.preset(torch_layers, defaults={"conv_init": "he_fan_in"})
"""The layers of Deep Residual Learning (He et al., 2015; arXiv:1512.03385)."""

paper_layers = register.preset(torch_layers, defaults={"conv_init": "he_fan_out"})
"""The layers of the Torch7 codes of Wide ResNet, Shake-Shake and PyramidNet."""

autoaugment_layers = register.preset(
    torch_layers,  # whose running variance TensorFlow's fused norm has too
    defaults={"padding": "same", "conv_init": "he_fan_out", "dense_init": "uniform_fan_out"},
)
"""The layers in the code of AutoAugment (Cubuk et al., 2019; arXiv:1805.09501)."""

flax2020_layers = register.preset(
    torch_layers,
    defaults={
        "conv_bias": True,
        "padding": "same",
        "bn_unbiased": False,
        "conv_init": "lecun_truncated",
        "dense_init": "lecun_truncated",
    },
)
"""The layers of the Flax example of 2020 (google/flax, examples/cifar10)."""
