"""The ten shapes as approximate signed distances: negative inside, zero on the outline.

Each is a function of coordinates (u, v), u to the right and v downwards, in which the shape
is about one unit in radius; sizes are chosen so that all ten cover about the same area.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from cifarzoo.data.glyphs.exact import Array, length

Shape: TypeAlias = Callable[[Array, Array], Array]

COS_30 = np.float32(0.8660254)
COS_45 = np.float32(0.70710678)
# Outward normals of a regular pentagon's sides, one straight down.
PENTAGON = (
    (0.0, 1.0),
    (0.95105652, 0.30901699),
    (0.58778525, -0.80901699),
    (-0.58778525, -0.80901699),
    (-0.95105652, 0.30901699),
)


def disc(u: Array, v: Array) -> Array:
    """A filled circle."""
    return length(u, v) - np.float32(0.80)


def ring(u: Array, v: Array) -> Array:
    """A circle's outline."""
    distance: Array = np.abs(length(u, v) - np.float32(0.74)) - np.float32(0.24)
    return distance


def square(u: Array, v: Array) -> Array:
    """A filled square."""
    distance: Array = np.maximum(np.abs(u), np.abs(v)) - np.float32(0.72)
    return distance


def frame(u: Array, v: Array) -> Array:
    """A square's outline."""
    return np.abs(np.maximum(np.abs(u), np.abs(v)) - np.float32(0.66)) - np.float32(0.21)


def triangle(u: Array, v: Array) -> Array:
    """An equilateral triangle standing on its tip."""
    half_v = np.float32(0.5) * v
    sides = np.maximum(COS_30 * u + half_v, half_v - COS_30 * u)
    distance: Array = np.maximum(-v, sides) - np.float32(0.52)
    return distance


def plus(u: Array, v: Array) -> Array:
    """Two crossed bars."""
    long, short = np.float32(0.98), np.float32(0.31)
    flat = np.maximum(np.abs(u) - long, np.abs(v) - short)
    upright = np.maximum(np.abs(u) - short, np.abs(v) - long)
    distance: Array = np.minimum(flat, upright)
    return distance


def star(u: Array, v: Array) -> Array:
    """A pentagram: the points outside at most one of a pentagon's five sides."""
    farthest = np.full_like(u, -9)
    second = farthest
    for normal_u, normal_v in PENTAGON:
        side = np.float32(normal_u) * u + np.float32(normal_v) * v - np.float32(0.42)
        second = np.maximum(second, np.minimum(farthest, side))
        farthest = np.maximum(farthest, side)
    return second


def crescent(u: Array, v: Array) -> Array:
    """A disc out of which another, to its right, has bitten."""
    bite = np.float32(0.80) - length(u - np.float32(0.52), v)
    distance: Array = np.maximum(length(u, v) - np.float32(0.95), bite)
    return distance


def heart(u: Array, v: Array) -> Array:
    """A square on its corner with a disc on each of two neighbouring sides."""
    diamond = (np.abs(u) + np.abs(v + np.float32(0.05))) * COS_45 - np.float32(0.50)
    lobes = length(np.abs(u) - np.float32(0.36), v - np.float32(0.31)) - np.float32(0.50)
    distance: Array = np.minimum(diamond, lobes)
    return distance


def bowtie(u: Array, v: Array) -> Array:
    """Two triangles that meet at their tips, one above the other."""
    ends = np.abs(v) - np.float32(0.92)
    slopes = (np.abs(u) - np.abs(v) * np.float32(0.95) - np.float32(0.04)) * np.float32(0.72)
    distance: Array = np.maximum(ends, slopes)
    return distance


# In the order of the labels.
SHAPES: dict[str, Shape] = {
    "disc": disc,
    "ring": ring,
    "square": square,
    "frame": frame,
    "triangle": triangle,
    "plus": plus,
    "star": star,
    "crescent": crescent,
    "heart": heart,
    "bowtie": bowtie,
}
