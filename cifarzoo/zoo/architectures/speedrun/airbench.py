"""The small convolutional network of the CIFAR-10 speed-runs (Jordan, 2024; arXiv:2404.00498)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.layers.batch_norm import BatchNorm2d
from cifarzoo.layers.kernels.strips import Conv2d
from cifarzoo.protocols import PositiveFloat, PositiveInt, check_settings
from cifarzoo.zoo.architectures.residual.blocks import ResidualBlock, chain
from cifarzoo.zoo.architectures.speedrun.whitening import Whitening


class Airbench(nn.Module):
    """Whitening, blocks that halve the image, the largest pixel of each channel, a classifier.

    Args:
        whitening: The first layer.
        blocks: The blocks.
        head: The classifier, on as many features as the last block has channels.
        logit_scale: Factor on its output.
    """

    def __init__(
        self, *, whitening: Whitening, blocks: nn.Module, head: nn.Module, logit_scale: float
    ) -> None:
        super().__init__()
        self.whitening = whitening
        self.activation = nn.GELU()
        self.blocks = blocks
        self.head = head
        self.logit_scale = logit_scale

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        features: Tensor = self.blocks(self.activation(self.whitening(images)))
        largest = F.max_pool2d(features, features.shape[2:]).flatten(1)
        logits: Tensor = self.head(largest)
        return logits * self.logit_scale


def block(
    in_channels: int, channels: int, *, num_convs: int, bn_momentum: float, bn_eps: float
) -> nn.Sequential:
    """Convolution, pooling, norm, GELU; convolution, norm, GELU; with three a shortcut past two.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        num_convs: Convolutions, two or three.
        bn_momentum: Weight of a step in the running statistics.
        bn_eps: Added to the variance.

    Returns:
        A module from (N, in_channels, H, W) to (N, channels, H // 2, W // 2).
    """

    def conv() -> nn.Module:
        return identity_conv(channels, channels, kind=nn.Conv2d)

    def norm() -> nn.Module:
        return unscaled_norm(channels, bn_momentum, bn_eps)

    begun = {
        "conv1": identity_conv(in_channels, channels, kind=EvenConv2d),
        "pool": nn.MaxPool2d(2),
        "norm1": norm(),
        "gelu1": nn.GELU(),
    }
    if num_convs == 2:
        return chain(**begun, conv2=conv(), norm2=norm(), gelu2=nn.GELU())
    path = chain(conv2=conv(), norm2=norm(), gelu2=nn.GELU(), conv3=conv(), norm3=norm())
    past = ResidualBlock(residual=path, shortcut=nn.Identity(), after=nn.GELU())
    return chain(**begun, last=past)


class EvenConv2d(Conv2d):
    """A 3x3 convolution with padding 1, but for the last row and column of an odd image.

    A 2x2 pooling drops these: of 7x7 pixels they are a quarter of the arithmetic.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Images (N, C, S, S) to (N, channels, S, S), or S - 1 where S is odd."""
        if input.shape[2] % 2 == 0 or input.shape[3] % 2 == 0:
            return super().forward(input)
        return self.convolve(F.pad(input, (1, 0, 1, 0)), padding=(0, 0))


def identity_conv(in_channels: int, channels: int, *, kind: type[nn.Conv2d]) -> nn.Conv2d:
    """A 3x3 convolution whose first outputs are, at first, its inputs; the rest as torch's."""
    conv = kind(in_channels, channels, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight.data[:in_channels])
    return conv


def unscaled_norm(channels: int, momentum: float, eps: float) -> BatchNorm2d:
    """A batch normalisation with a trained shift and a scale that stays 1."""
    norm = BatchNorm2d(channels, eps, momentum)
    norm.weight.requires_grad_(False)
    return norm


@register.architecture
def airbench(
    num_classes: int,
    *,
    in_channels: int = 3,
    widths: Sequence[PositiveInt] = (64, 256, 256),
    num_convs: Literal[2, 3] = 2,
    whitening_size: PositiveInt = 2,
    whitening_eps: Annotated[float, Gt(0), Lt(1)] = 5e-4,
    whitening_bias_epochs: Annotated[float, Ge(0)] = 3.0,
    bn_momentum: Annotated[float, Gt(0), Le(1)] = 0.4,
    bn_eps: Annotated[float, Gt(0), Lt(1)] = 1e-12,
    head_std: PositiveFloat | None = None,
    logit_scale: PositiveFloat = 0.1111111111111111,  # 1 / 9, as a number that is read from source
) -> nn.Module:
    """The speed-run network: whitening, then blocks of two 3x3 convolutions, each after a pooling.

    94% on CIFAR-10 in 3.29 Seconds on a Single GPU (Jordan, 2024; arXiv:2404.00498), listing
    4 and sections 3.1 to 3.3. Its convolutions start as partial identities, BatchNorm's scales
    stay 1, and the first layer is made from the training images. Its BatchNorm shifts are meant
    to learn 64 times as fast: ``run.norm_bias_lr_scale``.

    Args:
        num_classes: K.
        in_channels: Channels of the images.
        widths: Channels of the blocks; each block halves the image.
        num_convs: Convolutions of a block; of three the last two have a shortcut past them, as in
            the variant for 96 % (section 4).
        whitening_size: Pixels a side of a whitened patch.
        whitening_eps: Added to the variance of patches along each axis.
        whitening_bias_epochs: How long the first layer's bias is trained; 0: it stays 0, and
            no gradient is computed for the first layer.
        bn_momentum: Weight of a step in BatchNorm's running statistics.
        bn_eps: BatchNorm's epsilon.
        head_std: Standard deviation that the classifier's first weights are scaled to; None:
            as torch draws them.
        logit_scale: Factor on the output; the variant with Muon has 1 / 256 and ``head_std`` 1.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(airbench, locals())
    if not 1 <= len(widths) <= 4:
        raise ConfigError(f"is {list(widths)}; expected one to four widths", parameter="widths")
    whitening = Whitening(
        in_channels=in_channels,
        kernel_size=whitening_size,
        eps=whitening_eps,
        bias_epochs=whitening_bias_epochs,
    )
    blocks = nn.Sequential(
        *(
            block(*shape, num_convs=num_convs, bn_momentum=bn_momentum, bn_eps=bn_eps)
            for shape in pairwise([whitening.channels, *widths])
        )
    )
    return Airbench(
        whitening=whitening,
        blocks=blocks,
        head=_classifier(widths[-1], num_classes, head_std),
        logit_scale=logit_scale,
    )


def _classifier(features: int, num_classes: int, std: float | None) -> nn.Linear:
    head = nn.Linear(features, num_classes, bias=False)
    if std is not None:
        head.weight.data.mul_(std / head.weight.data.std())
    return head
