"""From pixel values to zero mean and unit variance a channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Augmentation, Dataset, Draws, Probability


@lru_cache(maxsize=8)  # a batch would wait for their copy to a GPU
def shift_and_scale(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """``255 * mean`` and ``255 * std``, rounded to float32 as in Flax's ``examples/cifar10``.

    Args:
        mean: Mean of pixels scaled to [0, 1], a number a channel.
        std: Likewise.
        device: Where the images are.

    Returns:
        Two tensors (C,).
    """
    both = 255 * torch.tensor([mean, std], dtype=torch.float64)
    shift, scale = both.float().to(device)
    return shift, scale


def standardized(images: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """``(images - shift) / scale``, channel by channel.

    Args:
        images: Batch (N, C, H, W), uint8 or float from 0 to 255.
        shift: Float32 (C,).
        scale: Likewise.

    Returns:
        Float32 (N, C, H, W), in the memory format of ``images``.
    """
    floats = images.to(torch.float32, copy=True)
    pixels = floats.permute(0, 2, 3, 1)
    if pixels.is_contiguous():
        # Line by line: with only the three channels innermost, a CPU is 7 times as slow.
        width = pixels.shape[2]
        pixels.flatten(2).sub_(shift.repeat(width)).div_(scale.repeat(width))
        return floats
    return floats.sub_(shift[:, None, None]).div_(scale[:, None, None])


@dataclass(frozen=True, kw_only=True)
class Normalize:
    """``standardized`` with fixed numbers; draws nothing, and acts on test images too."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    at_evaluation: bool = True
    at_most_once: bool = True  # the second would normalise what is normalised

    def __call__(self, images: Tensor, _draws: Draws | None = None) -> Tensor:
        """Normalise the batch (N, C, H, W)."""
        return standardized(images, *shift_and_scale(self.mean, self.std, images.device))


@register.augmentation
def normalize(
    *,
    mean: Sequence[Probability] | None = None,
    std: Sequence[Annotated[float, Gt(0), Le(1)]] | None = None,
    dataset: Dataset | None = None,
) -> Augmentation:
    """Subtract the mean and divide by the standard deviation, channel by channel.

    Turns pixel values from 0 to 255 into float32, for training and test images alike.

    Args:
        mean: Mean of pixels scaled to [0, 1], a number a channel; None: the dataset's.
        std: Likewise, above 0; None: the dataset's.
        dataset: Whose mean and standard deviation; passed by the engine.

    Raises:
        ConfigError: A number is out of its range, or nothing tells it.
    """
    channels = dataset.image_shape[0] if dataset else 3
    return Normalize(
        mean=_per_channel("mean", dataset.mean if mean is None and dataset else mean, channels),
        std=_per_channel("std", dataset.std if std is None and dataset else std, channels),
    )


def _per_channel(
    parameter: str, numbers: Sequence[float] | None, channels: int
) -> tuple[float, ...]:
    if numbers is None:
        raise ConfigError("is None and no dataset tells it; expected numbers", parameter=parameter)
    is_in_range = all(0 <= number <= 1 for number in numbers)
    if len(numbers) != channels or not is_in_range or (parameter == "std" and 0 in numbers):
        least = "0" if parameter == "mean" else "above 0"
        count = {1: "one number", 3: "three numbers"}.get(channels, f"{channels} numbers")
        raise ConfigError(
            f"is {list(numbers)}; expected {count}, {least} to 1, of pixels in [0, 1]",
            parameter=parameter,
        )
    return tuple(numbers)
