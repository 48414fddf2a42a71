"""The ResNet-9 of the DAWNBench entries (Page, 2018)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo import register
from cifarzoo.protocols import (
    LayersFactory,
    PositiveFloat,
    PositiveInt,
    Residual,
    Site,
    check_settings,
)
from cifarzoo.zoo.architectures.residual.blocks import ResidualBlock, chain, conv_norm_act
from cifarzoo.zoo.architectures.variants import make_layers
from cifarzoo.zoo.layers.conventions import torch_layers


class ResNet9(nn.Module):
    """Convolutions with poolings, the largest pixel of each channel, a classifier.

    Args:
        body: Layers from images to features.
        head: Classifier, without a bias.
        logit_scale: Factor on its output.
    """

    def __init__(self, *, body: nn.Module, head: nn.Module, logit_scale: float) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.logit_scale = logit_scale

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        features = self.body(images)
        largest = F.max_pool2d(features, features.shape[2:]).flatten(1)
        logits: Tensor = self.head(largest)
        return logits * self.logit_scale


@register.architecture
def resnet9(
    num_classes: int,
    residual: Residual,
    *,
    in_channels: int = 3,
    width: PositiveInt = 64,
    logit_scale: PositiveFloat = 0.125,
    layers: LayersFactory | None = None,
) -> nn.Module:
    """The network of the DAWNBench speed-runs: four convolutions, and two residual pairs of them.

    How to Train Your ResNet (Page, 2018), parts 1 and 3: 64, 128, 256 and 512 channels; all but
    the first end in a pooling, and the second and the fourth have a residual of two convolutions
    behind it.

    Args:
        num_classes: K.
        residual: The residual port.
        in_channels: Channels of the images.
        width: Channels of the first convolution.
        logit_scale: Factor on the classifier's output.
        layers: What convolutions and norms are made with; None: ``torch_layers``.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(resnet9, locals())
    make = make_layers(layers or torch_layers)

    def pair(channels: int, index: int) -> nn.Module:
        def make_path() -> nn.Module:
            return chain(
                first=conv_norm_act(make, channels, channels, 3),
                second=conv_norm_act(make, channels, channels, 3),
            )

        site = Site(index, 2, channels=channels)
        return ResidualBlock(residual=residual(make_path, site), shortcut=nn.Identity())

    body = chain(
        prep=conv_norm_act(make, in_channels, width, 3),
        layer1=conv_norm_act(make, width, 2 * width, 3),
        pool1=nn.MaxPool2d(2),
        residual1=pair(2 * width, 1),
        layer2=conv_norm_act(make, 2 * width, 4 * width, 3),
        pool2=nn.MaxPool2d(2),
        layer3=conv_norm_act(make, 4 * width, 8 * width, 3),
        pool3=nn.MaxPool2d(2),
        residual3=pair(8 * width, 2),
    )
    head = nn.Linear(8 * width, num_classes, bias=False)
    return ResNet9(body=body, head=head, logit_scale=logit_scale)
