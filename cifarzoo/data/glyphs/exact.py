"""Float32 geometry from ``+ - * / sqrt floor min max`` alone, which IEEE 754 rounds exactly.

No sine, no exponential, no reduction, no BLAS: their last bit depends on the library, and
with it would every image.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]

ONE = np.float32(1)


def length(x: Array, y: Array) -> Array:
    """Euclidean length of (x, y)."""
    norm: Array = np.sqrt(x * x + y * y)
    return norm


def direction(a: Array, b: Array) -> tuple[Array, Array]:
    """A unit vector, any way round, from two uniforms."""
    x, y = a * 2 - 1, b * 2 - 1
    x = np.where(np.abs(x) + np.abs(y) < np.float32(1e-3), ONE, x)
    norm = length(x, y)
    return x / norm, y / norm


def tilt(a: Array, most: float) -> tuple[Array, Array]:
    """The unit vector at an angle whose tangent lies in [-most, most), from a uniform."""
    tangent = (a * 2 - 1) * np.float32(most)
    norm = np.sqrt(1 + tangent * tangent)
    return 1 / norm, tangent / norm


def between(a: Array, low: float, high: float) -> Array:
    """A uniform stretched to [low, high)."""
    return np.float32(low) + a * np.float32(high - low)


def around_zero(a: Array, most: float) -> Array:
    """A uniform stretched to [-most, most)."""
    return (a * 2 - 1) * np.float32(most)


def triangle_wave(t: Array) -> Array:
    """A wave of period 1 in [-1, 1] that rises and falls in straight lines."""
    t = t - np.floor(t)
    wave: Array = np.abs(t * 4 - 2) - 1
    return wave


def fold(x: Array) -> Array:
    """Mirror values in [-1, 2] into [0, 1]."""
    folded: Array = 1 - np.abs(1 - np.abs(x))
    return folded


def clip(x: Array) -> Array:
    """Cut values to [0, 1]."""
    cut: Array = np.minimum(np.maximum(x, np.float32(0)), ONE)
    return cut


def coverage(distance: Array) -> Array:
    """Share of a pixel inside an edge ``distance`` pixels away (negative inside)."""
    return clip(np.float32(0.5) - distance)
