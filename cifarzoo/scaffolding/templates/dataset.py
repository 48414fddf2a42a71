"""A plugin: the dataset ``my_dataset``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from cifarzoo import register
from cifarzoo.protocols import Dataset, NonNegativeInt, PositiveInt, Split, check_settings

DIRECTIONS = ("horizontal", "vertical", "rising", "falling")
SIZE = 32


def stripes(labels: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Images (N, 3, 32, 32) of grey stripes in the direction of each label, with noise."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    across = np.stack([rows, columns, rows + columns, rows - columns])[labels]
    width, phase = rng.uniform(3, 8, (2, len(labels), 1, 1))
    waves = np.sin(2 * np.pi * (across / width + phase))
    images = waves[:, None] + rng.normal(0, 1, (len(labels), 3, SIZE, SIZE))
    pixels: np.ndarray[Any, Any] = (127.5 + 40 * images).clip(0, 255).astype(np.uint8)
    return pixels


@register.dataset
def my_dataset(
    folder: Path | None,
    *,
    train_images: PositiveInt = 8000,
    test_images: PositiveInt = 2000,
    seed: NonNegativeInt = 0,
) -> Dataset:
    """Stripes in four directions, drawn from a seed.

    Args:
        folder: Not used; a dataset of files reads them there, in ``load``.
        train_images: Training images, at least 1.
        test_images: Test images, at least 1.
        seed: Seed of the images, at least 0.

    Raises:
        ConfigError: A setting is out of its range.
    """
    check_settings(my_dataset, locals())

    def load() -> tuple[Split, Split]:
        rng = np.random.default_rng(seed)
        labels = [np.arange(count) % len(DIRECTIONS) for count in (train_images, test_images)]
        train, test = (Split(images=stripes(some, rng), labels=some) for some in labels)
        return train, test

    return Dataset(
        title="my_dataset (drawn stripes)",
        classes=DIRECTIONS,
        mean=(0.498, 0.498, 0.498),
        std=(0.189, 0.189, 0.189),
        image_shape=(3, SIZE, SIZE),
        num_train=train_images,
        num_test=test_images,
        load=load,
    )
