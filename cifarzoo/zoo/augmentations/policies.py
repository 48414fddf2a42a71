"""What policies choose from: fourteen operations, their magnitudes, and their batched application.

The operations, signs and magnitudes are those of torchvision's ``RandAugment`` and
``TrivialAugmentWide``; a policy says how strong the strongest are, and draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from cifarzoo.errors import ConfigError
from cifarzoo.zoo.augmentations import colors, geometry


@dataclass(frozen=True, kw_only=True)
class Space:
    """How strong operations are.

    Levels go from 0 to ``num_levels - 1``; negative ones come after them, at the same
    magnitude, and mean the same as positive ones to operations without a sign.

    Attributes:
        num_levels: Magnitudes from the weakest to the strongest.
        shear: Pixels a line, at the strongest; the weakest is 0 here and below.
        translate_x: Pixels.
        translate_y: Pixels.
        rotate: Degrees.
        enhance: Of brightness, color, contrast and sharpness, whose factor is one more or less.
        posterize: Bits that are lost.
    """

    num_levels: int
    shear: float
    translate_x: float
    translate_y: float
    rotate: float
    enhance: float
    posterize: int

    def column(self, level: Tensor, is_negative: Tensor) -> Tensor:
        """The number of a signed level among all, 0 to 2 * num_levels - 1."""
        return level + self.num_levels * is_negative

    def signed(self, strongest: float) -> Tensor:
        """The magnitudes of an operation with signs, float32 (2 * num_levels,)."""
        magnitudes = torch.linspace(0, strongest, self.num_levels)
        return torch.cat([magnitudes, -magnitudes])

    def bits(self) -> Tensor:
        """The bits that posterize keeps, float32 (2 * num_levels,)."""
        lost = torch.arange(self.num_levels) / ((self.num_levels - 1) / self.posterize)
        return (8 - lost).round().repeat(2)

    def thresholds(self) -> Tensor:
        """What solarize inverts from, as a share of 255, float32 (2 * num_levels,)."""
        return torch.linspace(1, 0, self.num_levels).repeat(2)


def _matrices(space: Space, height: int, width: int) -> dict[str, Tensor]:
    """The matrices of the geometric operations at all signed levels."""
    x, y = space.signed(space.translate_x), space.signed(space.translate_y)
    shear = space.signed(space.shear)
    return {
        "shear_x": geometry.shear_x(shear, height=height),
        "shear_y": geometry.shear_y(shear, width=width),
        "translate_x": geometry.translate(x, torch.zeros_like(x)),
        "translate_y": geometry.translate(torch.zeros_like(y), y),
        "rotate": geometry.rotate(space.signed(space.rotate)),
    }


def _magnitudes(space: Space) -> dict[str, Tensor]:
    """The second arguments of the operations on colours at all signed levels."""
    factor = 1 + space.signed(space.enhance).double()
    return {
        "identity": torch.zeros_like(factor),
        "brightness": factor,
        "color": factor,
        "contrast": factor,
        "sharpness": factor,
        "posterize": space.bits().double(),
        "solarize": 255 * space.thresholds().double(),
        "autocontrast": torch.zeros_like(factor),
        "equalize": torch.zeros_like(factor),
    }


GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
COLORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda images, _: images,
    "brightness": colors.brightness,
    "color": colors.color,
    "contrast": colors.contrast,
    "sharpness": colors.sharpness,
    "posterize": colors.posterize,
    "solarize": colors.solarize,
    "autocontrast": lambda images, _: colors.autocontrast(images),
    "equalize": lambda images, _: colors.equalize(images),
}
OPERATIONS = (*GEOMETRIC, *COLORS)


@lru_cache(maxsize=4)  # a batch would wait for its hundreds of small operations
def tables(space: Space, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What the operations do at all signed levels, operation by operation.

    Returns:
        Sources of the geometric ones' pixels, int64 (5 * L, H * W), which is 2.5 MB for the 62
        signed levels of 32 by 32 pixels, and magnitudes of the others, float64 (9 * L,).
    """
    matrices = _matrices(space, height, width)
    sources = partial(geometry.sources, height=height, width=width)
    of_each = [sources(matrices[name]) for name in GEOMETRIC]
    magnitudes = _magnitudes(space)
    others = torch.cat([magnitudes[name] for name in COLORS])
    return torch.cat(of_each).to(device), others.to(device)


def apply_each(images: Tensor, operation: Tensor, column: Tensor, space: Space) -> Tensor:
    """Apply to each image an operation of its own.

    The batch is sorted by operation. All geometric ones are one gather, and each of the others
    is applied once, to its part of the batch. On a GPU the sizes of the parts are the one
    thing that the CPU waits for.

    Args:
        images: Batch (N, 3, H, W), uint8.
        operation: Number of each image's operation in ``OPERATIONS`` (N,).
        column: Its signed level, as ``Space.column`` gives it (N,).
        space: How strong operations are.

    Returns:
        A new batch of the same shape, channels_last.

    Raises:
        ConfigError: The images are floats.
    """
    if images.dtype != torch.uint8:
        raise ConfigError("comes after normalize; it needs pixel values, so put it before")
    sources, magnitudes = tables(space, *images.shape[2:], images.device)
    order = operation.argsort(stable=True)
    sizes = torch.bincount(operation, minlength=len(OPERATIONS)).tolist()
    entries = (operation * (2 * space.num_levels) + column)[order]
    pixels = images.permute(0, 2, 3, 1).index_select(0, order)
    part = pixels.permute(0, 3, 1, 2)
    start = sum(sizes[: len(GEOMETRIC)])
    if start:
        part[:start] = geometry.take(part[:start], sources.index_select(0, entries[:start]))
    amounts = magnitudes[entries[start:] - len(sources)]
    for change, size in zip(COLORS.values(), sizes[len(GEOMETRIC) :], strict=True):
        end = start + size
        if size:
            part[start:end] = change(part[start:end], amounts[:size])
        start, amounts = end, amounts[size:]
    return pixels.index_select(0, order.argsort()).permute(0, 3, 1, 2)
