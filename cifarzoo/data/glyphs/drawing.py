"""From random numbers to pictures: ground, clutter, figure, occluding bar, noise.

Colours are (n, 3, 1, 1), numbers (n, 1, 1, 1), masks (n, 1, 32, 32) and canvases
(n, 3, 32, 32), all in [0, 1] but for the canvas before it is quantised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cifarzoo.data.glyphs import exact
from cifarzoo.data.glyphs.exact import Array
from cifarzoo.data.glyphs.numbers import SIZE, Uniforms
from cifarzoo.data.glyphs.shapes import SHAPES

_PIXELS: Array = np.arange(SIZE, dtype=np.float32) - np.float32((SIZE - 1) / 2)
X = _PIXELS[None, None, None, :]  # from the centre, to the right
Y = _PIXELS[None, None, :, None]  # from the centre, downwards
MOST_CLUTTER = 6  # what ``numbers.PER_IMAGE`` has room for


@dataclass(frozen=True, kw_only=True)
class Level:
    """How hard the pictures are.

    Attributes:
        max_shift: Pixels that the figure lies off the centre, at most, along each axis.
        radius: Least and largest radius of the figure, in pixels.
        min_aspect: Least height of the figure as a share of its width.
        max_shear: Largest shear of the figure.
        max_tilt: Tangent of the largest angle by which the figure is turned.
        contrast: Least and largest distance of the figure's colour from the ground's.
        texture: Depth of the patterns on figure and ground.
        noise: Least and largest deviation of the noise.
        clutter: Small bars a picture, half of them (rounded up) in front of the figure.
        occlusion: Share of pictures with a bar across.
        inversion: Share of pictures turned to their negative.
    """

    max_shift: float = 3.5
    radius: tuple[float, float] = (7.5, 12.0)
    min_aspect: float = 0.75
    max_shear: float = 0.15
    max_tilt: float = 0.6
    contrast: tuple[float, float] = (0.25, 0.6)
    texture: float = 0.20
    noise: tuple[float, float] = (0.01, 0.06)
    clutter: int = 2
    occlusion: float = 0.3
    inversion: float = 0.0


def draw(
    numbers: Uniforms, noise: Array, labels: NDArray[np.int64], level: Level
) -> NDArray[np.uint8]:
    """Draw one picture a label.

    Args:
        numbers: Random numbers for as many pictures.
        noise: Noise (n, 3, 32, 32) of deviation 1.
        labels: Indices (n,) into ``SHAPES``.
        level: Difficulty of the pictures.

    Returns:
        uint8 pictures (n, 3, 32, 32).
    """
    ground_color = numbers.color() * np.float32(0.5)
    canvas = _textured(ground_color, numbers, level)
    figure_color = _brighter(ground_color, numbers, level)
    figure_paint = _textured(figure_color, numbers, level)
    for _ in range(level.clutter // 2):
        canvas = _add_clutter(canvas, numbers)
    canvas = _blend(canvas, figure_paint, _figure(labels, numbers, level))
    for _ in range(level.clutter - level.clutter // 2):
        canvas = _add_clutter(canvas, numbers)
    canvas = _add_occluder(canvas, numbers, level)
    canvas = np.where(numbers.one() < np.float32(level.inversion), 1 - canvas, canvas)
    canvas = canvas + noise * exact.between(numbers.one(), *level.noise)
    levels: Array = np.floor(exact.clip(canvas) * 255 + np.float32(0.5))
    return levels.astype(np.uint8)


def _blend(canvas: Array, paint: Array, mask: Array) -> Array:
    return canvas + (paint - canvas) * mask


def _textured(color: Array, numbers: Uniforms, level: Level) -> Array:
    """The colour, moved to and fro by a pattern."""
    swing = (numbers.color() - np.float32(0.5)) * np.float32(2 * level.texture)
    return color + swing * _pattern(numbers)


def _pattern(numbers: Uniforms) -> Array:
    """Stripes (40 %), checks (30 %) or a ramp (30 %) in [-1.5, 1.5], at any angle."""
    right, down = exact.direction(numbers.one(), numbers.one())
    kind, frequency, phase = numbers.one(), numbers.one(), numbers.one()
    frequency = np.float32(0.03) + frequency * np.float32(0.17)
    along, across = right * X + down * Y, right * Y - down * X
    stripes = exact.triangle_wave(along * frequency + phase)
    cross_stripes = exact.triangle_wave(across * frequency + phase)
    checks = stripes * cross_stripes * np.float32(1.5)
    ramp = along * np.float32(1 / 16)
    other = np.where(kind < np.float32(0.7), checks, ramp)
    return np.where(kind < np.float32(0.4), stripes, other)


def _brighter(color: Array, numbers: Uniforms, level: Level) -> Array:
    """A colour some way up from ``color``, folded back where it would be over-bright."""
    step = numbers.color()
    amount = exact.between(numbers.one(), *level.contrast)
    largest = np.maximum(np.maximum(step[:, :1], step[:, 1:2]), step[:, 2:]) + np.float32(1e-6)
    return exact.fold(color + step / largest * amount)


def _figure(labels: NDArray[np.int64], numbers: Uniforms, level: Level) -> Array:
    """The mask of each label's shape, turned, sheared, stretched and shifted."""
    right, down = exact.tilt(numbers.one(), level.max_tilt)
    x = X - exact.around_zero(numbers.one(), level.max_shift)
    y = Y - exact.around_zero(numbers.one(), level.max_shift)
    radius = exact.between(numbers.one(), *level.radius)
    aspect = exact.between(numbers.one(), level.min_aspect, 1)
    x = x + exact.around_zero(numbers.one(), level.max_shear) * y
    u: Array = np.divide(right * x + down * y, radius)
    v: Array = np.divide(right * y - down * x, radius * aspect)
    distance = np.empty_like(u)
    for label, shape in enumerate(SHAPES.values()):
        mine = np.flatnonzero(labels == label)
        distance[mine] = shape(u[mine], v[mine])
    return exact.coverage(distance * radius)


def _add_clutter(canvas: Array, numbers: Uniforms) -> Array:
    """A small bar of any colour, anywhere, at any angle."""
    color = numbers.color()
    right, down = exact.direction(numbers.one(), numbers.one())
    x = X - (numbers.one() * 36 - 18)
    y = Y - (numbers.one() * 36 - 18)
    half_length = np.float32(0.8) + numbers.one() * np.float32(2.2)
    half_width = np.float32(0.8) + numbers.one() * np.float32(4.5)
    distance = np.maximum(
        np.abs(right * x + down * y) - half_length, np.abs(right * y - down * x) - half_width
    )
    return _blend(canvas, color, exact.coverage(distance))


def _add_occluder(canvas: Array, numbers: Uniforms, level: Level) -> Array:
    """In some pictures, a thin bar of any colour from edge to edge."""
    color, chance = numbers.color(), numbers.one()
    right, down = exact.direction(numbers.one(), numbers.one())
    offset = (numbers.one() - np.float32(0.5)) * 14
    half_width = np.float32(0.4) + numbers.one() * np.float32(0.9)
    mask = exact.coverage(np.abs(right * X + down * Y - offset) - half_width)
    return _blend(canvas, color, mask * (chance < np.float32(level.occlusion)))
