"""From pictures of one's own to what a network takes: as test images are prepared in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cifarzoo.components.protocols import Augmentation
from cifarzoo.engine.batches import prepare_for_evaluation
from cifarzoo.errors import UsageError

Picture: TypeAlias = "Tensor | np.ndarray[Any, Any] | Image.Image"
MAX_VALUE = 255


class Preprocess:
    """Prepares images as a run prepared its test images.

    Args:
        augmentations: Augmentations of the run, of which those apply that act at evaluation.
        image_shape: (C, H, W) of the images that the network takes.
        dtype: Number type of the network's weights.
        channels_last: Whether the network takes images that lie in memory as (N, H, W, C).
    """

    def __init__(
        self,
        augmentations: Mapping[str, Augmentation],
        image_shape: tuple[int, int, int],
        dtype: torch.dtype = torch.float32,
        *,
        channels_last: bool = True,
    ) -> None:
        self._augmentations = augmentations
        self._shape = image_shape
        self._dtype = dtype
        self._channels_last = channels_last

    def __call__(self, images: Picture | Sequence[Picture], /) -> Tensor:
        """What the network takes, of one image or several.

        Args:
            images: uint8 images (N, C, H, W) or one of them (C, H, W), as a tensor or an array;
                a PIL image; or a list of such images. PIL images of any mode become RGB.

        Returns:
            The prepared images (N, C, H, W), on the device that they were on.

        Raises:
            UsageError: They have another shape or type.
        """
        if isinstance(images, Tensor | np.ndarray | Image.Image):
            batch = self._tensor(images, "the images are")
        elif isinstance(images, Sequence) and not isinstance(images, str | bytes):
            each = [self._tensor(image, f"image {i} is") for i, image in enumerate(images)]
            if not each:
                raise UsageError("there are no images in the list; expected one at least")
            batch = torch.cat(each)
        else:
            raise UsageError(
                f"the images are of the type {type(images).__name__}; expected uint8 tensors or "
                "arrays, PIL images, or a list of them"
            )
        prepared = prepare_for_evaluation(self._augmentations, batch).to(self._dtype)
        return prepared if self._channels_last else prepared.contiguous()

    def __repr__(self) -> str:
        return f"Preprocess(uint8 images {self._wanted()} or PIL images -> what the model takes)"

    def _tensor(self, image: Any, subject: str) -> Tensor:
        """uint8 (n, C, H, W)."""
        match image:
            case Image.Image():
                return self._of_pil(image, subject)
            case np.ndarray():
                self._check(image.dtype.name, image.shape, subject)
                tensor = torch.from_numpy(image.copy())  # arrays may be read-only
            case Tensor():
                self._check(str(image.dtype).removeprefix("torch."), tuple(image.shape), subject)
                tensor = image
            case _:
                raise UsageError(
                    f"{subject} of the type {type(image).__name__}; expected a uint8 tensor or "
                    "array, or a PIL image"
                )
        return tensor[None] if tensor.ndim == len(self._shape) else tensor

    def _of_pil(self, image: Image.Image, subject: str) -> Tensor:
        channels, height, width = self._shape
        if image.size != (width, height):
            raise UsageError(
                f"{subject} {image.width} x {image.height} pixels; expected {width} x {height}: "
                f"image.resize(({width}, {height}))"
            )
        array = np.asarray(image.convert("RGB" if channels == 3 else "L"))
        return torch.from_numpy(array.reshape(height, width, channels).copy()).permute(2, 0, 1)[
            None
        ]

    def _check(self, dtype: str, shape: tuple[int, ...], subject: str) -> None:
        if dtype != "uint8":
            raise UsageError(
                f"{subject} {dtype}; expected uint8, from 0 to {MAX_VALUE}: what has been scaled "
                f"to 0 to 1 was (images * {MAX_VALUE}).round() before"
            )
        if shape in (self._shape, (*shape[:1], *self._shape)):
            return
        channels, height, width = self._shape
        hint = ""
        if shape[-3:] == (height, width, channels):
            order = (2, 0, 1) if len(shape) == 3 else (0, 3, 1, 2)
            hint = f": the channels come first; torch.as_tensor(images).permute{order}"
        raise UsageError(f"{subject} of the shape {shape}; expected {self._wanted()}{hint}")

    def _wanted(self) -> str:
        return f"(N, {', '.join(map(str, self._shape))})"
