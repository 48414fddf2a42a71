"""From decoded parts to a split, after the checks that every format needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cifarzoo.components.protocols import Split
from cifarzoo.data.damage import DamageError

Images: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.int64]


def join(parts: Sequence[tuple[Images, Labels]], *, num_classes: int, where: str) -> Split:
    """Put the parts of a split one behind the other.

    Args:
        parts: Images (N, 3, H, W) and labels (N,) of each file.
        num_classes: Number K of classes; labels must be below it.
        where: Name of the file or folder, for the error.

    Raises:
        DamageError: There are no images, or a label is no class.
    """
    images = np.concatenate([part[0] for part in parts])
    labels = np.concatenate([part[1] for part in parts])
    if not len(images):
        raise DamageError(f"{where} holds no images; expected at least one")
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        first = int(wrong[0])
        raise DamageError(
            f"{where}: image {first} has the label {labels[first]}; expected 0 to {num_classes - 1}"
        )
    return Split(images=images, labels=labels)
