"""The binary version of CIFAR: labels and pixels, a record an image, nothing else."""

from __future__ import annotations

import numpy as np

from cifarzoo.data.damage import DamageError
from cifarzoo.data.splits import Images, Labels

PIXELS = 3 * 32 * 32


def decode(raw: bytes, *, label: int, num_labels: int, where: str) -> tuple[Images, Labels]:
    """Split records into images and labels.

    Args:
        raw: Records of ``num_labels`` bytes and 3072 pixels: red, green, blue, row by row.
        label: Index of the label byte that is wanted.
        num_labels: Label bytes a record: 1 in CIFAR-10, 2 in CIFAR-100 (coarse, fine).
        where: Name of the file, for the error.

    Returns:
        Images (N, 3, 32, 32), a view of ``raw``, and labels (N,).

    Raises:
        DamageError: The last record is cut off.
    """
    size = num_labels + PIXELS
    if len(raw) % size:
        raise DamageError(f"{where} is {len(raw):,} bytes; expected a multiple of {size:,}")
    records = np.frombuffer(raw, np.uint8).reshape(-1, size)
    images = records[:, num_labels:].reshape(-1, 3, 32, 32)
    return images, records[:, label].astype(np.int64)
