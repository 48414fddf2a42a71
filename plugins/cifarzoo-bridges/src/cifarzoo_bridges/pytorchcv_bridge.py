"""Networks of pytorchcv (Semery, 2018; imgclsmob), among them those for CIFAR."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo_bridges.making import check_known, make
from cifarzoo_bridges.small_stem import for_small_images


@register.architecture
def pytorchcv_model(
    num_classes: int,
    *,
    in_channels: int = 3,
    name: str,
    weights: Path | None = None,
    small_stem: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Any network of pytorchcv, by its name there: ``wrn28_10_cifar10``, ``resnet20_cifar100``.

    Args:
        num_classes: K.
        in_channels: Channels of the images.
        name: Name of the network.
        weights: File of its weights, as pytorchcv's releases have them; None: it is new. Nothing is
            downloaded.
        small_stem: Whether a first convolution keeps the image's size, and a pooling right behind
            it is left out; those for CIFAR stay as they are.
        settings: Other arguments of pytorchcv's function.

    Raises:
        ConfigError: pytorchcv isn't installed, has no such network, refuses a setting, or the
            weights aren't of this network.
    """
    try:
        from pytorchcv.model_provider import _models as known  # type: ignore[import-untyped]
        from pytorchcv.model_provider import get_model
    except ImportError as error:
        raise ConfigError("needs pytorchcv; pip install pytorchcv") from error
    check_known(name, known, "pytorchcv")
    network = make(
        partial(get_model, name, pretrained=False),
        "pytorchcv",
        settings,
        num_classes=num_classes,
        in_channels=in_channels,
    )
    if small_stem and "cifar" not in name and "svhn" not in name:
        network = for_small_images(network)
    if weights is not None:
        _load(network, weights)
    return network


def _load(network: nn.Module, weights: Path) -> None:
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ConfigError(f"can't be loaded: {problem}", parameter="weights") from error
