"""VGG networks with batch normalisation, on small images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import Layers, LayersFactory, PositiveInt, check_settings
from cifarzoo.zoo.architectures.variants import choose, make_layers
from cifarzoo.zoo.layers.conventions import he2015_layers, paper_layers

# Convolutions of each group, the columns A, B, D and E of the paper's table 1.
GROUPS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
WIDTHS = (1, 2, 4, 8, 8)
ReluAfter = Literal["each", "first"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What differs between published codes; ``vgg`` says what each word means."""

    layers: LayersFactory
    relu_after: ReluAfter


VARIANTS = {
    "paper": Variant(layers=he2015_layers, relu_after="each"),
    "hysts2017": Variant(layers=partial(paper_layers, conv_bias=True), relu_after="first"),
}


class Vgg(nn.Module):
    """Groups of convolutions, each followed by a pooling, and a classifier.

    Args:
        groups: Groups, with their poolings.
        head: Classifier, on as many features as the last group has channels.
    """

    def __init__(self, *, groups: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.groups = groups
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        logits: Tensor = self.head(self.groups(images).mean((2, 3)))
        return logits


@register.architecture
def vgg(
    num_classes: int,
    *,
    in_channels: int = 3,
    depth: Literal[11, 13, 16, 19] = 16,
    width: PositiveInt = 64,
    variant: Literal["paper", "hysts2017"] = "paper",
    layers: LayersFactory | None = None,
    relu_after: ReluAfter | None = None,
) -> nn.Module:
    """A VGG network with norms, and one linear layer behind its convolutions.

    Very Deep Convolutional Networks (Simonyan and Zisserman, 2015; arXiv:1409.1556), table 1:
    3x3 convolutions of 64, 128, 256, 512 and 512 channels, each group followed by a pooling.

    Args:
        num_classes: K.
        in_channels: Channels of the images.
        depth: Layers that the paper's network has: 11, 13, 16 or 19.
        width: Channels of the first group, the paper's 64.
        variant: The paper, or the VGG of hysts/pytorch_image_classification whose results stand in
            its README. What follows changes one part of it; None: as it is there.
        layers: What convolutions, norms and the classifier are made with.
        relu_after: Whether ``each`` convolution is followed by a ReLU, or only the ``first`` of
            each group.

    Raises:
        ConfigError: A setting is out of its range.

    Differs from the paper: a norm after each convolution, which has no bias, and one linear layer
    in the place of three, as codes for CIFAR have it. ``hysts2017``: biases, and one ReLU a group,
    since that code gave all ReLUs of a group one name until September 2020, and
    ``nn.Sequential`` keeps one module a name, in the place of the first; norms began with scales
    from 0 to 1 there, as PyTorch's did, and begin with 1 here.
    """
    check_settings(vgg, locals())
    form = choose(VARIANTS, variant, layers=layers, relu_after=relu_after)
    make = make_layers(form.layers)
    groups = []
    for num_convs, factor in zip(GROUPS[depth], WIDTHS, strict=True):
        groups.append(group(make, form, in_channels, factor * width, num_convs))
        in_channels = factor * width
    return Vgg(groups=nn.Sequential(*groups), head=make.dense(in_channels, num_classes))


def group(
    make: Layers, form: Variant, in_channels: int, channels: int, num_convs: int
) -> nn.Sequential:
    """Convolutions with norms and ReLUs, and a pooling that halves the image."""
    parts: list[nn.Module] = []
    for index in range(num_convs):
        parts += [make.conv(in_channels, channels, 3), make.norm(channels)]
        if form.relu_after == "each" or index == 0:
            parts.append(nn.ReLU(inplace=True))
        in_channels = channels
    return nn.Sequential(*parts, nn.MaxPool2d(2))
