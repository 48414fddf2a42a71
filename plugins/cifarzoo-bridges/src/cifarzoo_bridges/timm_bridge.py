"""Networks of timm (Wightman, 2019; PyTorch Image Models)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Fraction, check_settings
from cifarzoo_bridges.making import check_known, make
from cifarzoo_bridges.small_stem import for_small_images


@register.architecture
def timm_model(
    num_classes: int,
    *,
    in_channels: int = 3,
    image_size: tuple[int, int] = (32, 32),
    name: str,
    small_stem: bool = True,
    drop_path_rate: Fraction = 0.0,
    settings: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Any network of timm, by its name there.

    Args:
        num_classes: K.
        in_channels: Channels of the images.
        image_size: Height and width of the images, for networks that are made for one size.
        name: Name of the network, such as ``resnet18``; ``timm.list_models()``.
        small_stem: Whether the first convolution keeps the image's size, and a pooling right
            behind it is left out.
        drop_path_rate: Probability that timm's stochastic depth drops the last branch.
        settings: Other arguments of timm's ``create_model``, such as ``{'patch_size': 4}``.

    Raises:
        ConfigError: timm isn't installed, has no such network, or refuses a setting.
    """
    check_settings(timm_model, locals())
    try:
        import timm
    except ImportError as error:
        raise ConfigError("needs timm; pip install timm") from error
    check_known(name, timm.list_models(), "timm")
    given: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_channels}
    if drop_path_rate:
        given["drop_path_rate"] = drop_path_rate
    pretrained = timm.get_pretrained_cfg(name)
    if pretrained is not None and pretrained.fixed_input_size:
        given["img_size"] = image_size
    network = make(partial(timm.create_model, name), "timm", settings, **given)
    return for_small_images(network) if small_stem else network
