"""What is filled into images where something is taken out of them."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Dataset


def mean_pixel(dataset: Dataset | None) -> tuple[int, ...] | None:
    """The dataset's mean in whole pixel values, a number a channel; None: it isn't known."""
    return None if dataset is None else tuple(round(255 * mean) for mean in dataset.mean)


def fill_of(images: Tensor, pixel: tuple[int, ...] | None, *, component: str) -> Tensor:
    """What images are filled with, (C,) or (1,), of their type: 0 once they are normalised.

    Args:
        images: Batch (N, C, H, W), uint8 or float.
        pixel: What uint8 images are filled with; None: not known.
        component: Name of the augmentation that fills.

    Raises:
        ConfigError: The images are uint8, and ``pixel`` isn't known.
    """
    if images.is_floating_point():
        return images.new_zeros(1)
    if pixel is None:
        raise ConfigError(
            f"is 'mean' of an unknown dataset; put {component} after normalize, or pass dataset",
            parameter="fill",
        )
    return as_tensor(pixel, images.dtype, images.device)


@lru_cache(maxsize=8)  # a batch would wait for its copy to a GPU
def as_tensor(pixel: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """``pixel`` as a tensor (C,)."""
    return torch.tensor(pixel, dtype=dtype, device=device)
