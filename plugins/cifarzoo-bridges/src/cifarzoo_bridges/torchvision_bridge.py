"""Networks of torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo_bridges.making import check_known, make
from cifarzoo_bridges.small_stem import for_small_images


@register.architecture
def torchvision_model(
    num_classes: int,
    *,
    in_channels: int = 3,
    name: str,
    small_stem: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Any classification network of torchvision, by its name there.

    Args:
        num_classes: K.
        in_channels: Channels of the images, which are 3.
        name: Name of the network, such as ``resnet18``; ``torchvision.models.list_models()``.
        small_stem: Whether the first convolution keeps the image's size, and a pooling right
            behind it is left out.
        settings: Other arguments of torchvision's function, such as ``{'dropout': 0.0}``.

    Raises:
        ConfigError: There is no such network, or torchvision refuses a setting.
    """
    from torchvision import models

    if in_channels != 3:
        raise ConfigError(f"takes images of 3 channels, and the dataset's have {in_channels}")
    check_known(name, models.list_models(module=models), "torchvision")
    build = partial(models.get_model, name)
    if name in ("googlenet", "inception_v3"):
        settings = {"aux_logits": False, "init_weights": True, **(settings or {})}
    network = make(build, "torchvision", settings, num_classes=num_classes)
    return for_small_images(network) if small_stem else network
