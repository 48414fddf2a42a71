"""What policies choose from: fourteen operations, their magnitudes, and their batched application.

The operations and their signs are those of torchvision's ``AutoAugment``, ``RandAugment`` and
``TrivialAugmentWide``; a policy says how strong they are, and draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from cifarzoo.zoo.augmentations.operations import colors, geometry


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
        factors: Factors of brightness, color, contrast and sharpness, at all 2 * num_levels.
        bits: That posterize keeps, at as many.
        thresholds: That solarize inverts from, 0 to 256, at as many.
    """

    num_levels: int
    shear: float
    translate_x: float
    translate_y: float
    rotate: float
    factors: tuple[float, ...]
    bits: tuple[int, ...]
    thresholds: tuple[float, ...]

    def column(self, level: Tensor, is_negative: Tensor) -> Tensor:
        """The number of a signed level among all, 0 to 2 * num_levels - 1."""
        return level + self.num_levels * is_negative

    def signed(self, strongest: float) -> Tensor:
        """The magnitudes of an operation with signs, float32 (2 * num_levels,)."""
        return _signed(strongest, self.num_levels)


@lru_cache(maxsize=8)  # a batch would wait for its small operations
def torchvisions(
    *,
    num_levels: int,
    shear: float,
    translate_x: float,
    translate_y: float,
    rotate: float,
    enhance: float,
    posterize: int,
) -> Space:
    """Magnitudes in even steps, as torchvision's policies have them.

    Args:
        num_levels: See ``Space``, as for the next four.
        shear: Strongest shear; all here are the strongest.
        translate_x: Pixels.
        translate_y: Pixels.
        rotate: Degrees.
        enhance: What the factors of brightness, color, contrast and sharpness are above 1, or
            below it at negative levels.
        posterize: Bits that are lost.
    """
    lost = torch.arange(num_levels) / ((num_levels - 1) / posterize)
    bits = (8 - lost).round().int()
    shares = torch.linspace(1, 0, num_levels).double()
    return Space(
        num_levels=num_levels,
        shear=shear,
        translate_x=translate_x,
        translate_y=translate_y,
        rotate=rotate,
        factors=tuple((1 + _signed(enhance, num_levels).double()).tolist()),
        bits=tuple(bits.repeat(2).tolist()),
        thresholds=tuple((255 * shares).repeat(2).tolist()),
    )


def _signed(strongest: float, num_levels: int) -> Tensor:
    magnitudes = torch.linspace(0, strongest, num_levels)
    return torch.cat([magnitudes, -magnitudes])


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


def _magnitudes(space: Space) -> dict[str, tuple[float, ...]]:
    """The second arguments of the operations on colours at all signed levels."""
    none = (0.0,) * (2 * space.num_levels)
    return {
        "identity": none,
        "brightness": space.factors,
        "color": space.factors,
        "contrast": space.factors,
        "sharpness": space.factors,
        "posterize": space.bits,
        "solarize": space.thresholds,
        "autocontrast": none,
        "equalize": none,
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
OPAQUE = ("posterize", "solarize", "autocontrast", "equalize")  # as PIL's, which take only RGB


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
    others = [magnitude for name in COLORS for magnitude in magnitudes[name]]
    return torch.cat(of_each).to(device), torch.tensor(others, dtype=torch.float64, device=device)


def apply_each(images: Tensor, operation: Tensor, column: Tensor, space: Space) -> Tensor:
    """Apply to each image an operation of its own.

    The batch is sorted by operation. All geometric ones are one gather, and each of the others
    is applied once, to its part of the batch. What decides on the parts' sizes is on the CPU,
    which would wait for a GPU.

    Args:
        images: Batch (N, 3, H, W), uint8; or (N, 4, H, W) with an opacity, which becomes 0
            where a geometric operation leaves black, and 255 everywhere in those of ``OPAQUE``.
        operation: Number of each image's operation in ``OPERATIONS`` (N,), on the CPU.
        column: Its signed level, as ``Space.column`` gives it (N,), on the CPU.
        space: How strong operations are.

    Returns:
        A new batch of the same shape, channels_last.

    Raises:
        ConfigError: The images are floats, or have no colours.
    """
    colors.check_colors(images[:, :3] if images.shape[1] == 4 else images)
    sources, magnitudes = tables(space, *images.shape[2:], images.device)
    sizes = torch.bincount(operation, minlength=len(OPERATIONS)).tolist()
    order = operation.argsort(stable=True)
    entries = (operation * (2 * space.num_levels) + column)[order]
    order, inverse, entries = _sent(torch.stack([order, order.argsort(), entries]), images.device)
    pixels = images.permute(0, 2, 3, 1).index_select(0, order)
    part = pixels.permute(0, 3, 1, 2)
    start = sum(sizes[: len(GEOMETRIC)])
    if start:
        part[:start] = geometry.take(part[:start], sources.index_select(0, entries[:start]))
    amounts = magnitudes[entries[start:] - len(sources)]
    for (name, change), size in zip(COLORS.items(), sizes[len(GEOMETRIC) :], strict=True):
        end = start + size
        if size:
            part[start:end, :3] = change(part[start:end, :3], amounts[:size])
            if name in OPAQUE:
                part[start:end, 3:] = 255
        start, amounts = end, amounts[size:]
    return pixels.index_select(0, inverse).permute(0, 3, 1, 2)


def _sent(numbers: Tensor, device: torch.device) -> Tensor:
    """A copy on the device; the CPU doesn't wait for a GPU to take it."""
    if device.type == "cuda":
        return numbers.pin_memory().to(device, non_blocking=True)
    return numbers.to(device)
