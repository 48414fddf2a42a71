"""Images on the training device, as uint8: what every batch is gathered from."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cifarzoo.data.order import Indices
from cifarzoo.errors import DataError
from cifarzoo.protocols import Split

IMAGE_SHAPE = (3, 32, 32)


class ImageStore:
    """A split on a device.

    Args:
        split: Images uint8 (N, 3, 32, 32) and labels (N,).
        num_classes: K.
        device: Where batches are made.
        chosen: Rows of the split that the store holds; None: all.
    """

    def __init__(
        self,
        split: Split,
        *,
        num_classes: int,
        device: torch.device | str,
        chosen: Indices | None = None,
    ) -> None:
        rows = slice(None) if chosen is None else chosen
        images = torch.from_numpy(split.images[rows])
        # Kept as (N, H, W, C), so that a gather gives channels_last batches without a copy.
        self._images = images.permute(0, 2, 3, 1).contiguous().to(device)
        self._labels = torch.from_numpy(split.labels[rows]).to(device)
        self._num_classes = num_classes

    def __len__(self) -> int:
        return len(self._labels)

    def batch(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Images uint8 (n, 3, 32, 32), channels_last, and targets (n, K), one-hot float32."""
        # A copy: torch warns of NumPy arrays that are not writable, as cached orders are.
        rows = torch.from_numpy(indices.copy()).to(self._labels.device, non_blocking=True)
        images = self._images.index_select(0, rows).permute(0, 3, 1, 2)
        targets = F.one_hot(self._labels.index_select(0, rows), self._num_classes)
        return images, targets.float()


def check_split(split: Split, *, part: str, num_classes: int) -> None:
    """Refuse a split that no network here could be trained on.

    Raises:
        DataError: Images that are not uint8 (N, 3, 32, 32), labels that are not (N,) from 0
            to K - 1, or none at all; names the first wrong one.
    """
    images, labels = split.images, split.labels
    if images.ndim != 4 or images.shape[1:] != IMAGE_SHAPE or images.dtype != np.uint8:
        raise DataError(
            f"the {part} images are {images.dtype} {images.shape}; expected uint8 (N, 3, 32, 32)"
        )
    if len(images) == 0:
        raise DataError(f"there are no {part} images")
    if labels.shape != (len(images),):
        raise DataError(f"the {part} labels are {labels.shape}; expected ({len(images)},)")
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        raise DataError(
            f"the label of {part} image {wrong[0]} is {labels[wrong[0]]}; "
            f"expected 0 to {num_classes - 1}"
        )


def digest(*splits: Split) -> str:
    """SHA-256 (hex) of images and labels: what a run was trained and tested on."""
    sha256 = hashlib.sha256()
    for split in splits:
        sha256.update(split.images.tobytes())
        sha256.update(split.labels.tobytes())
    return sha256.hexdigest()
