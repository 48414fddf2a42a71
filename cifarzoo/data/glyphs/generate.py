"""Make a split of glyphs from its seed."""

from __future__ import annotations

from typing import Literal

import numpy as np

from cifarzoo.components.protocols import Split
from cifarzoo.data.glyphs.drawing import Level, draw
from cifarzoo.data.glyphs.numbers import SIZE, Uniforms, noise
from cifarzoo.data.glyphs.shapes import SHAPES

VERSION = 1  # raise it with any change that alters a pixel
CLASSES = tuple(SHAPES)

_CHUNK = 250  # images drawn at once: few enough for the cache, and of no effect on them


def generate(count: int, split: Literal["train", "test"], *, seed: int, level: Level) -> Split:
    """Draw the first ``count`` pictures of a split; image i shows shape i mod 10.

    Args:
        count: Number of pictures; more only adds pictures behind the same first ones.
        split: Name of the split; two splits share no random numbers.
        seed: Seed of the pictures.
        level: Difficulty of the pictures.

    Returns:
        uint8 images (count, 3, 32, 32) and their labels.
    """
    key = [VERSION, seed, ("train", "test").index(split)]
    scenes = np.random.PCG64(np.random.SeedSequence([*key, 0]))
    grain = np.random.PCG64(np.random.SeedSequence([*key, 1]))
    images = np.empty((count, 3, SIZE, SIZE), np.uint8)
    labels = np.arange(count, dtype=np.int64) % len(SHAPES)
    for start in range(0, count, _CHUNK):
        part = slice(start, min(start + _CHUNK, count))
        drawn = part.stop - start
        numbers = Uniforms(scenes, drawn)
        images[part] = draw(numbers, noise(grain, drawn), labels[part], level)
    return Split(images=images, labels=labels)
