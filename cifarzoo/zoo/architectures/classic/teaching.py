"""Small networks for teaching: LeNet-5 and a multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.layers.dropout import Dropout
from cifarzoo.protocols import Fraction, PositiveInt, check_settings
from cifarzoo.zoo.architectures.residual.blocks import chain

SMALLEST_LENET = 16  # pixels a side; of fewer nothing is left


@register.architecture
def lenet(
    num_classes: int, *, in_channels: int = 3, image_size: tuple[int, int] = (32, 32)
) -> nn.Module:
    """LeNet-5 with ReLUs and poolings by the largest pixel.

    Gradient-Based Learning Applied to Document Recognition (LeCun et al., 1998), figure 2: two 5x5
    convolutions of 6 and 16 channels without padding, then layers of 120 and 84 units.

    Args:
        num_classes: K.
        in_channels: Channels of the images.
        image_size: Height and width of the images, at least 16.

    Raises:
        ConfigError: The images are smaller.

    Differs from the paper: ReLUs and max poolings, every channel sees all before it, and a linear
    classifier, as in PyTorch's tutorial on CIFAR-10.
    """
    if min(image_size) < SMALLEST_LENET:
        height, width = image_size
        raise ConfigError(
            f"needs images of at least {SMALLEST_LENET} x {SMALLEST_LENET} pixels, and these are "
            f"{height} x {width}"
        )
    height, width = (((side - 4) // 2 - 4) // 2 for side in image_size)
    return chain(
        conv1=nn.Conv2d(in_channels, 6, 5),
        relu1=nn.ReLU(inplace=True),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        relu2=nn.ReLU(inplace=True),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        dense1=nn.Linear(16 * height * width, 120),
        relu3=nn.ReLU(inplace=True),
        dense2=nn.Linear(120, 84),
        relu4=nn.ReLU(inplace=True),
        head=nn.Linear(84, num_classes),
    )


@register.architecture
def mlp(
    num_classes: int,
    *,
    in_channels: int = 3,
    image_size: tuple[int, int] = (32, 32),
    widths: Sequence[PositiveInt] = (512, 512),
    dropout_rate: Fraction = 0.0,
) -> nn.Module:
    """A multilayer perceptron of the pixels: linear layers with ReLUs between them.

    Args:
        num_classes: K.
        in_channels: Channels of the images.
        image_size: Height and width of the images.
        widths: Units of each hidden layer; none: a linear classifier.
        dropout_rate: Share of each hidden layer's units that are dropped, 0 to below 1
            (Srivastava et al., 2014).

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(mlp, locals())
    if len(widths) > 100:
        raise ConfigError(f"has {len(widths)} numbers; expected at most 100", parameter="widths")
    sizes = [in_channels * image_size[0] * image_size[1], *widths]
    hidden: list[nn.Module] = []
    for size, width in pairwise(sizes):
        hidden += [nn.Linear(size, width), nn.ReLU(inplace=True)]
        hidden += [Dropout(dropout_rate)] * bool(dropout_rate)
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(sizes[-1], num_classes))
