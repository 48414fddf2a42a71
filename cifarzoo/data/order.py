"""Which images, in which order: pure functions, so that nothing about position is ever saved."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from cifarzoo.randomness.keys import generator

Indices = np.ndarray[Any, np.dtype[np.int64]]


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, num_images: int) -> Indices:
    """The order of the training images in ``epoch``: a permutation (num_images,)."""
    order = generator(seed, "order", epoch).permutation(num_images)
    order.setflags(write=False)  # the cache hands the same array out again
    return order


def batch_indices(seed: int, step: int, *, num_images: int, batch_size: int) -> Indices:
    """The images of optimizer step ``step`` (batch_size,); an epoch leaves out its odd rest."""
    epoch, position = divmod(step, num_images // batch_size)
    start = position * batch_size
    return epoch_order(seed, epoch, num_images)[start : start + batch_size]


def subset(num_images: int, count: int, *, rest: bool = False) -> Indices:
    """A fixed random choice of ``count`` images, the same for every seed, in rising order.

    Random, because a dataset may be sorted by class; the same for every seed, so that runs
    that differ by seed are trained, chosen and tested on the same images.

    Args:
        num_images: Number of images to choose from.
        count: Number of images that are chosen.
        rest: Whether to give those that were not chosen instead.
    """
    order = generator(0, "subset", num_images).permutation(num_images)
    return np.sort(order[count:] if rest else order[:count])
