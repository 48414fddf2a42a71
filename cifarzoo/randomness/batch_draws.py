"""The random numbers that augmentations and batch stages ask for, one a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from cifarzoo.components.protocols import Per
from cifarzoo.randomness.keys import Indices, on_device, uniform

Numbers: TypeAlias = np.ndarray[Any, Any]
MOST_REMEMBERED = 16


def draw_anew(_question: object, draw: Callable[[], Numbers]) -> Numbers:
    """The numbers that ``draw`` gives."""
    return draw()


class Memory:
    """What a generator that starts anew in every step gave, so that it is drawn once."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[object, ...], Numbers] = {}

    def from_start(self) -> Recall:
        """A step's questions to the generator, which stands at its start."""
        return Recall(self._numbers)


class Recall:
    """Draws only what was never asked in this order.

    Args:
        numbers: Numbers that were drawn, by all questions up to theirs; those drawn now are kept.
    """

    def __init__(self, numbers: dict[tuple[object, ...], Numbers]) -> None:
        self._numbers = numbers
        self._asked: tuple[object, ...] = ()
        self._left_out: list[Callable[[], Numbers]] = []

    def __call__(self, question: object, draw: Callable[[], Numbers]) -> Numbers:
        """The numbers that ``draw`` gives after all that were asked for before."""
        self._asked = (*self._asked, question)
        if self._asked in self._numbers:
            self._left_out.append(draw)
            return self._numbers[self._asked]
        for left_out in self._left_out:  # the generator stands before what they would draw
            left_out()
        self._left_out.clear()
        if len(self._numbers) == MOST_REMEMBERED:  # whoever asks for something else in each step
            self._numbers.clear()
        numbers = self._numbers[self._asked] = draw()
        return numbers


class BatchDraws:
    """The draws of one component for one batch (``cifarzoo.protocols.Draws``).

    Args:
        rng: Where the numbers come from; successive calls go on in it.
        batch_size: Images in the global batch.
        part: The rows of the global batch that are asked for.
        device: Where the tensors go.
        epoch: Epoch of the batch.
        of_images: Makes the draws that belong to the batch's images; None: they have none.
        recall: Gives the numbers of a question, which it may have drawn before.
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
        recall: Callable[[object, Callable[[], Numbers]], Numbers] = draw_anew,
    ) -> None:
        self._rng = rng
        self._batch_size = batch_size
        self._part = part
        self._device = torch.device(device)
        self._of_images = of_images
        self._recall = recall
        self.epoch = epoch

    def uniform(self, low: float, high: float, *, per: Per = "sample") -> Tensor:
        """Float32 from [low, high), one a sample (n,)."""
        count = self._count(per)
        return self._give(("u", low, high, per), lambda: uniform(self._rng, count, low, high))

    def bernoulli(self, p: float, *, per: Per = "sample") -> Tensor:
        """Bool, True with probability ``p``, one a sample (n,)."""
        return self._give(("p", p, per), lambda: self._rng.random(self._count(per)) < p)

    def integers(self, n: int, *, per: Per = "sample") -> Tensor:
        """Int64 from 0 to n - 1, one a sample (n,)."""
        return self._give(("n", n, per), lambda: self._rng.integers(n, size=self._count(per)))

    def beta(self, a: float, b: float, *, per: Per = "sample") -> Tensor:
        """Float32 from Beta(a, b), one a sample (n,)."""

        def draw() -> Numbers:
            return self._rng.beta(a, b, self._count(per)).astype(np.float32)

        return self._give(("b", a, b, per), draw)

    def permutation(self) -> Tensor:
        """Int64: a permutation of the global batch (n,)."""
        rows = range(self._batch_size)
        if not isinstance(self._part, slice) or rows[self._part] != rows:
            raise ValueError("a permutation needs the whole batch: draw it in the batch stage")
        return self._give(("order",), lambda: self._rng.permutation(self._batch_size))

    def of_images(self) -> BatchDraws:
        """Draws that belong to the images of the dataset: the same in every epoch."""
        if self._of_images is None:
            raise ValueError("these draws belong to no images of a dataset")
        return self._of_images()

    @property
    def on_cpu(self) -> BatchDraws:
        """These draws, which go on in the same numbers, given on the CPU."""
        of_images = self._of_images
        return BatchDraws(
            self._rng,
            self._batch_size,
            part=self._part,
            epoch=self.epoch,
            of_images=None if of_images is None else lambda: of_images().on_cpu,
            recall=self._recall,
        )

    def _count(self, per: Per) -> int:
        return self._batch_size if per == "sample" else 1

    def _give(self, question: object, draw: Callable[[], Numbers]) -> Tensor:
        whole = np.broadcast_to(self._recall(question, draw), (self._batch_size,))
        return on_device(whole[self._part], self._device)
