"""The random numbers of the drawings, straight from the raw PCG64 stream.

NumPy may change what ``Generator.random`` or ``Generator.normal`` draw; the raw stream of a
bit generator it may not.
"""

from __future__ import annotations

import numpy as np

from cifarzoo.data.glyphs.exact import Array

SIZE = 32
PER_IMAGE = 96  # uniforms set aside for an image, more than the fullest scene takes

_VALUES = 3 * SIZE * SIZE
_FOUR_BYTES_MEAN, _FOUR_BYTES_STD = 510, 147.8  # of the sum of four uniform bytes


class Uniforms:
    """Uniforms in [0, 1) for a few images, taken one after the other.

    The order of taking is the meaning of each number: a new one may only be taken last.
    """

    def __init__(self, stream: np.random.PCG64, count: int) -> None:
        raw = np.asarray(stream.random_raw(count * PER_IMAGE), np.uint64)
        columns = (raw.reshape(count, PER_IMAGE) >> np.uint64(40)).astype(np.float32)
        self._columns = iter(columns.T * np.float32(2.0**-24))

    def one(self) -> Array:
        """A number an image (n, 1, 1, 1)."""
        column: Array = next(self._columns)
        return column[:, None, None, None]

    def color(self) -> Array:
        """Three numbers an image (n, 3, 1, 1)."""
        return np.concatenate([self.one(), self.one(), self.one()], axis=1)


def noise(stream: np.random.PCG64, count: int) -> Array:
    """Bell-shaped noise (n, 3, 32, 32) of mean 0 and deviation 1: sums of four bytes."""
    raw = np.asarray(stream.random_raw(count * _VALUES // 2), np.uint64)
    quads = raw.astype("<u8").view(np.uint8).reshape(-1, 4).astype(np.float32)
    sums = quads[:, 0] + quads[:, 1] + quads[:, 2] + quads[:, 3]
    scaled = (sums - np.float32(_FOUR_BYTES_MEAN)) * np.float32(1 / _FOUR_BYTES_STD)
    return scaled.reshape(count, 3, SIZE, SIZE)
