"""The random numbers that augmentations and batch stages ask for, one a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cifarzoo.components.protocols import Per
from cifarzoo.randomness.keys import Indices, on_device, uniform


class BatchDraws:
    """The draws of one component for one batch (``cifarzoo.protocols.Draws``).

    Args:
        rng: Where the numbers come from; successive calls go on in it.
        batch_size: Images in the global batch.
        part: The rows of the global batch that are asked for.
        device: Where the tensors go.
        epoch: Epoch of the batch.
        of_images: Makes the draws that belong to the batch's images; None: they have none.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        batch_size: int,
        *,
        part: slice | Indices = slice(None),
        device: torch.device | str = "cpu",
        epoch: int = 0,
        of_images: Callable[[], BatchDraws] | None = None,
    ) -> None:
        self._rng = rng
        self._batch_size = batch_size
        self._part = part
        self._device = torch.device(device)
        self._of_images = of_images
        self.epoch = epoch

    def uniform(self, low: float, high: float, *, per: Per = "sample") -> Tensor:
        """Float32 from [low, high), one a sample (n,)."""
        return self._give(uniform(self._rng, self._count(per), low, high))

    def bernoulli(self, p: float, *, per: Per = "sample") -> Tensor:
        """Bool, True with probability ``p``, one a sample (n,)."""
        return self._give(self._rng.random(self._count(per)) < p)

    def integers(self, n: int, *, per: Per = "sample") -> Tensor:
        """Int64 from 0 to n - 1, one a sample (n,)."""
        return self._give(self._rng.integers(n, size=self._count(per)))

    def beta(self, a: float, b: float, *, per: Per = "sample") -> Tensor:
        """Float32 from Beta(a, b), one a sample (n,)."""
        return self._give(self._rng.beta(a, b, self._count(per)).astype(np.float32))

    def permutation(self) -> Tensor:
        """Int64: a permutation of the global batch (n,)."""
        rows = range(self._batch_size)
        if not isinstance(self._part, slice) or rows[self._part] != rows:
            raise ValueError("a permutation needs the whole batch: draw it in the batch stage")
        return self._give(self._rng.permutation(self._batch_size))

    def of_images(self) -> BatchDraws:
        """Draws that belong to the images of the dataset: the same in every epoch."""
        if self._of_images is None:
            raise ValueError("these draws belong to no images of a dataset")
        return self._of_images()

    def _count(self, per: Per) -> int:
        return self._batch_size if per == "sample" else 1

    def _give(self, numbers: np.ndarray[Any, Any]) -> Tensor:
        whole = np.broadcast_to(numbers, (self._batch_size,))
        return on_device(whole[self._part], self._device)
