"""Random erasing (Zhong et al., 2017; arXiv:1708.04896)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cifarzoo import register
from cifarzoo.protocols import (
    Augmentation,
    Dataset,
    Draws,
    PositiveFloat,
    Probability,
    check_settings,
    in_order,
)
from cifarzoo.zoo.augmentations.operations.boxes import draw_sides, inside, placed
from cifarzoo.zoo.augmentations.operations.fill import fill_of, mean_pixel


@dataclass(frozen=True, kw_only=True)
class RandomErasing:
    """Fills a rectangle in some images; arguments as in ``random_erasing``.

    Attributes:
        pixel: What uint8 images are filled with, a number a channel; None: not known.
    """

    p: float
    area: tuple[float, float]
    ratio: tuple[float, float]
    pixel: tuple[int, ...] | None

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Fill a rectangle in some images of the batch (N, C, H, W)."""
        height, width = images.shape[2:]
        is_erased = draws.bernoulli(self.p)
        tall, wide = draw_sides(
            draws,
            lambda tall, wide: (tall < height) & (wide < width),
            area=self.area,
            ratio=self.ratio,
            num_pixels=height * width,
        )
        box = placed(draws, tall, wide, height=height, width=width)
        mask = inside(box, height=height, width=width) & is_erased[:, None, None, None]
        pixel = fill_of(images, self.pixel, component="random_erasing")
        return torch.where(mask, pixel.view(1, -1, 1, 1), images)


@register.augmentation
def random_erasing(
    *,
    p: Probability = 0.5,
    area: Sequence[Probability] = (0.02, 0.4),
    ratio: Sequence[PositiveFloat] = (0.3, 3.3),
    fill: Literal["mean", "zero"] = "mean",
    dataset: Dataset | None = None,
) -> Augmentation:
    """Fill a random rectangle of some images with the dataset's mean.

    Random Erasing (Zhong et al., 2017; arXiv:1708.04896), algorithm 1: the rectangle's share of the
    image and its height over its width are drawn, and its place.

    Args:
        p: Probability that an image has one, 0 to 1; the paper's 0.5.
        area: Smallest and largest share of the image's area, each 0 to 1.
        ratio: Smallest and largest height over width, above 0; the logarithm is uniform, as in
            torchvision.
        fill: ``mean``, or ``zero``: 0 as the images have it, which is black where this comes
            before ``normalize`` and the mean where it comes after.
        dataset: Whose mean; passed by the engine.

    Raises:
        ConfigError: A number is out of its range, or two are in the wrong order.

    Differs from the paper: one colour, not a random one a pixel, and an image for which ten drawn
    rectangles are too large has none.
    """
    check_settings(random_erasing, locals())
    return RandomErasing(
        p=p,
        area=in_order("area", area),
        ratio=in_order("ratio", ratio),
        pixel=(0,) if fill == "zero" else mean_pixel(dataset),
    )
