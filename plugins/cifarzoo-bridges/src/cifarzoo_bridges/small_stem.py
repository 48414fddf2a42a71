"""A stem for small images in the place of one for large ones."""

from __future__ import annotations

from torch import nn

BEFORE_POOLING = 2  # convolutions, of the network's first ones


def for_small_images(network: nn.Module) -> nn.Module:
    """Make the first convolution keep the image's size, and leave out a pooling right behind it.

    Args:
        network: Network for images of 224 pixels or so, which is changed.
    """
    num_convs = 0
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            num_convs += 1
            if num_convs == 1 and module.stride[0] > 1 and not _makes_patches(module):
                _put(network, name, _keeping(module))
        if isinstance(module, nn.MaxPool2d) and num_convs <= BEFORE_POOLING:
            _put(network, name, nn.Identity())
        if num_convs > BEFORE_POOLING:
            break
    return network


def _makes_patches(conv: nn.Conv2d) -> bool:
    """Whether its pixels are in one output each, as of a transformer's first layer."""
    return conv.stride == conv.kernel_size


def _keeping(conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution of stride 1, of at most 3 x 3 pixels."""
    side = min(3, max(conv.kernel_size))
    return nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        side,
        padding=side // 2,
        groups=conv.groups,
        bias=conv.bias is not None,
    )


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
