"""Images on the training device, as uint8: what every batch is gathered from."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cifarzoo.components.hooks import Frame, Window
from cifarzoo.components.protocols import IMAGE_SHAPE, Split
from cifarzoo.data.order import Indices
from cifarzoo.errors import DataError
from cifarzoo.randomness.keys import on_device

UNFRAMED = Frame()


class ImageStore:
    """A split on a device, ready for a gather of windows.

    It holds ``(1 + is_mirrored) * C * (H + 2 * padding) * (W + 2 * padding)`` bytes an image:
    3 kB without a frame, 9.6 kB for crops with padding 4 and flips, which is 480 MB for the
    50,000 images of CIFAR.

    Args:
        split: Images uint8 (N, C, H, W) and labels (N,).
        num_classes: Number K of classes.
        device: Device on which batches are made.
        chosen: Rows of the split that the store holds; None: all.
        frame: Padding around the images, for windows.
    """

    def __init__(
        self,
        split: Split,
        *,
        num_classes: int,
        device: torch.device | str,
        chosen: Indices | None = None,
        frame: Frame = UNFRAMED,
    ) -> None:
        rows = slice(None) if chosen is None else chosen
        images = torch.from_numpy(split.images[rows]).permute(0, 2, 3, 1)
        self._size = images.shape[1:]
        self._frame = frame
        self._framed_shape, self._lines = _lines(framed(images, frame).to(device), self._size[1])
        self._labels = torch.from_numpy(split.labels[rows]).to(device)
        self._num_classes = num_classes

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width, _ = self._size
        return height, width

    def __len__(self) -> int:
        return len(self._labels)

    def batch(self, indices: Indices, window: Window | None = None) -> tuple[Tensor, Tensor]:
        """Some images and their labels, gathered on the device in one go.

        Args:
            indices: Indices (n,) of the images.
            window: Window in the store's frame that is cut out of each, on the CPU; None: the
                image itself.

        Returns:
            Images uint8 (n, C, H, W), channels_last, and targets (n, K), one-hot float32.
        """
        on_cpu = torch.from_numpy(indices.copy())  # they may not be writable
        both = torch.stack([on_cpu, self._first_pixel(on_cpu, window)])
        rows, first = on_device(both.numpy(), self._labels.device)
        height, width, channels = self._size
        down = torch.arange(height, device=rows.device) * self._framed_shape[3]
        lines = self._lines.index_select(0, (first[:, None] + down).flatten())
        images = lines.view(len(rows), height, width, channels).permute(0, 3, 1, 2)
        targets = F.one_hot(self._labels.index_select(0, rows), self._num_classes)
        return images, targets.float()

    def _first_pixel(self, rows: Tensor, window: Window | None) -> Tensor:
        """Number of each window's first pixel among all that the store holds (n,)."""
        _, sides, height, width, _ = self._framed_shape
        padding = self._frame.padding
        if window is None:
            return (rows * sides * height + padding) * width + padding
        rows, left = rows * sides, window.left
        if self._frame.is_mirrored:
            rows = rows + window.is_mirrored
            # The mirrored image has the cutting at as many pixels from its other side.
            left = torch.where(window.is_mirrored, 2 * padding - left, left)
        return (rows * height + window.top) * width + left


def framed(images: Tensor, frame: Frame) -> Tensor:
    """Images with what lies around them.

    Args:
        images: Batch (N, H, W, C) of any type.
        frame: Padding, below H and W where it reflects.

    Returns:
        (N, S, H + 2 * padding, W + 2 * padding, C), contiguous; S is 2 with the mirrored images
        after the others, else 1.
    """
    count, height, width, channels = images.shape
    padding = frame.padding
    shape = (count, 1 + frame.is_mirrored, height + 2 * padding, width + 2 * padding, channels)
    both = images.new_zeros(shape)
    plain = both[:, 0]
    plain[:, padding : padding + height, padding : padding + width] = images
    if frame.mode == "reflect":
        for lines, size in ((plain, height), (plain.transpose(1, 2), width)):
            last = padding + size - 1
            for step in range(1, padding + 1):
                lines[:, padding - step] = lines[:, padding + step]
                lines[:, last + step] = lines[:, last - step]
    if frame.is_mirrored:
        # A few at a time: another copy of everything would be a third of the memory again.
        for some, mirrored in zip(
            torch.split(plain, 1024), torch.split(both[:, 1], 1024), strict=True
        ):
            mirrored.copy_(some.flip(2))
    return both


def _lines(images: Tensor, width: int) -> tuple[torch.Size, Tensor]:
    """The shape of framed images, and a view with a row for each of their pixels.

    Row i holds ``width`` pixels from pixel i on, so a window is as many rows as it is high, and
    one ``index_select`` copies whole lines: on a CPU 4 times as fast as indexing pixels, on a
    GPU one kernel.
    """
    channels = images.shape[4]
    count = images[..., 0].numel() - width + 1
    return images.shape, images.as_strided((count, width * channels), (channels, 1))


def check_split(
    split: Split,
    *,
    part: str,
    num_classes: int,
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
) -> None:
    """Refuse a split that isn't what its dataset says.

    Args:
        split: The images and labels.
        part: Name of the split, in words.
        num_classes: Number K of classes.
        image_shape: Shape of an image (C, H, W).

    Raises:
        DataError: Images that are not uint8 (N, C, H, W), labels that are not (N,) from 0
            to K - 1, or none at all; names the first wrong one.
    """
    images, labels = split.images, split.labels
    for what, array in (("images", images), ("labels", labels)):
        if not isinstance(array, np.ndarray):
            given = type(array).__name__
            raise DataError(f"the {part} {what} are a {given}; expected a NumPy array")
    if images.ndim != 4 or images.shape[1:] != tuple(image_shape) or images.dtype != np.uint8:
        shape = ", ".join(map(str, image_shape))
        raise DataError(
            f"the {part} images are {images.dtype} {images.shape}; expected uint8 (N, {shape})"
        )
    if len(images) == 0:
        raise DataError(f"there are no {part} images")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise DataError(
            f"the {part} labels are {labels.dtype} {labels.shape}; expected whole numbers "
            f"({len(images)},)"
        )
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
