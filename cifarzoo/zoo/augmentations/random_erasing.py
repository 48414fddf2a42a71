"""Random erasing (Zhong et al., 2017; arXiv:1708.04896)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cifarzoo import register
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import (
    Augmentation,
    Dataset,
    Draws,
    PositiveFloat,
    Probability,
    check_settings,
)
from cifarzoo.zoo.augmentations.operations.boxes import Boxes, inside

ATTEMPTS = 10  # to find a rectangle that is in the image, as torchvision makes


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
        box = self._boxes(draws, height, width)
        mask = inside(box, height=height, width=width) & is_erased[:, None, None, None]
        return torch.where(mask, self._fill(images), images)

    def _boxes(self, draws: Draws, height: int, width: int) -> Boxes:
        """The first rectangle of several that is smaller than the image; none: an empty one."""
        low, high = (math.log(end) for end in self.ratio)
        is_found: Tensor | None = None
        tall = wide = torch.zeros(())
        for _ in range(ATTEMPTS):
            area = draws.uniform(*self.area) * (height * width)
            ratio = torch.exp(draws.uniform(low, high))
            rows, columns = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
            fits = (rows < height) & (columns < width)
            if is_found is None:
                tall, wide, is_found = rows * fits, columns * fits, fits
                continue
            is_new = fits & ~is_found
            tall, wide = torch.where(is_new, rows, tall), torch.where(is_new, columns, wide)
            is_found = is_found | fits
        top = (draws.uniform(0.0, 1.0) * (height - tall + 1)).long()
        left = (draws.uniform(0.0, 1.0) * (width - wide + 1)).long()
        return Boxes(top=top, bottom=top + tall.long(), left=left, right=left + wide.long())

    def _fill(self, images: Tensor) -> Tensor:
        if images.is_floating_point():
            return images.new_zeros(())
        if self.pixel is None:
            raise ConfigError(
                "is 'mean' of an unknown dataset; put random_erasing after normalize, or pass "
                "dataset",
                parameter="fill",
            )
        return torch.tensor(self.pixel, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)


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
    for name, ends in (("area", area), ("ratio", ratio)):
        if len(ends) != 2 or ends[0] > ends[1]:
            raise ConfigError(
                f"is {list(ends)}; expected two numbers, the lower one first", parameter=name
            )
    pixel = None if dataset is None else tuple(round(255 * mean) for mean in dataset.mean)
    return RandomErasing(
        p=p,
        area=(area[0], area[1]),
        ratio=(ratio[0], ratio[1]),
        pixel=(0,) if fill == "zero" else pixel,
    )
