"""The embedded default: pictures that are drawn instead of downloaded."""

from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le

from cifarzoo import register
from cifarzoo.data.glyphs.drawing import MOST_CLUTTER, Level
from cifarzoo.data.glyphs.generate import CLASSES, generate
from cifarzoo.protocols import (
    Dataset,
    NonNegativeInt,
    PositiveInt,
    Probability,
    Split,
    check_settings,
)


@register.dataset
def glyphs(
    folder: Path | None,
    *,
    train_images: PositiveInt = 10000,
    test_images: PositiveInt = 2000,
    seed: NonNegativeInt = 0,
    clutter: Annotated[int, Ge(0), Le(MOST_CLUTTER)] = 2,
    occlusion: Probability = 0.3,
    max_noise: Annotated[float, Ge(0.01), Le(1)] = 0.06,
    inversion: Probability = 0.0,
) -> Dataset:
    """Ten drawn shapes in random pose, colour and texture; synthetic, not CIFAR.

    32 x 32 RGB pictures of a disc, ring, square, frame, triangle, plus, star, crescent, heart
    or bowtie, made from a seed with exactly rounded arithmetic: the same bytes on every
    machine. A linear model gets about 39 % right, a small ResNet over 90 %. Says nothing
    about photographs: a place to try a pipeline, not a benchmark.

    Args:
        folder: Not used; nothing is read.
        train_images: Training pictures, at least 1.
        test_images: Test pictures, at least 1.
        seed: Seed of the pictures, at least 0; apart from the run's seed, so that all runs see the
            same ones.
        clutter: Small bars a picture, 0 to 6.
        occlusion: Share of pictures with a bar across, 0 to 1.
        max_noise: Largest deviation of the noise, 0.01 to 1, where white is 1.
        inversion: Share of pictures turned to their negative, 0 to 1.

    Returns:
        The dataset; ``load`` draws it, some 10,000 pictures a second.

    Raises:
        ConfigError: An argument is out of its range.
    """
    check_settings(glyphs, locals())
    level = Level(
        clutter=clutter,
        occlusion=occlusion,
        noise=(Level.noise[0], max_noise),
        inversion=inversion,
    )

    def load() -> tuple[Split, Split]:
        train = generate(train_images, "train", seed=seed, level=level)
        return train, generate(test_images, "test", seed=seed, level=level)

    return Dataset(
        title="glyphs (synthetic, not CIFAR)",
        classes=CLASSES,
        mean=(0.3061, 0.3062, 0.3075),
        std=(0.2032, 0.2024, 0.2026),
        num_train=train_images,
        num_test=test_images,
        load=load,
    )
