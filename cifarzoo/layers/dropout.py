"""Dropout whose masks are functions of (seed, layer, step, sample): alike on any number of ranks.

NumPy's Philox gives sixteen bits an activation, and counts on from any sample of the global
batch: a rank draws its own rows alone. On a CPU that is three times as fast as torch's dropout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cifarzoo.randomness.gates import Owner
from cifarzoo.randomness.keys import key

WORD = 2**64
LEVELS = 2**16  # of a drop probability
WORDS = 4  # 64-bit numbers that Philox makes of one value of its counter
PER_COUNT = 4 * WORDS  # 16-bit numbers in them


@dataclass(frozen=True)
class Rows:
    """Which masks a layer uses in a forward pass.

    Attributes:
        key: Key of 128 bits, for this layer in this step.
        first: Index of the first row in the global batch.
    """

    key: int
    first: int

    def words(self) -> list[int]:
        """Key, the lower half first, and first row, as the signed numbers that kernels take."""
        halves = (self.key % WORD, self.key // WORD, self.first)
        return [half - WORD if half >= WORD // 2 else half for half in halves]


class Dropout(nn.Dropout):
    """``nn.Dropout`` with quick masks that the engine can name.

    Dropout (Srivastava et al., 2014): in training an activation is 0 with probability ``p``,
    and else divided by ``1 - p``. On a CPU ``p`` is rounded to a multiple of 2**-16. On a GPU,
    and in compiled networks, torch's own dropout is used.

    Attributes:
        rows: Key and rows, set by the engine before each forward pass; None: torch's generator
            gives a key.
        words: The same as int64 (3,) on a GPU, where kernels of ours read it; None: it is made of
            ``rows``.
        owner: Name of what the layer belongs to in a residual branch; None: the architecture.
    """

    rows: Rows | None = None
    words: Tensor | None = None
    owner: Owner | None = None

    @property
    def threshold(self) -> int:
        """Number of levels, of 65,536, that are dropped."""
        return round(self.p * LEVELS)

    def rows_of_pass(self) -> Rows:
        """The rows whose masks a forward pass uses."""
        return self.rows or Rows(int(torch.randint(2**62, ())), 0)

    def counts_masks(self, x: Tensor) -> bool:
        """Whether the masks of ``x`` are counted here; else torch's generator gives them."""
        return x.device.type == "cpu" and not torch.compiler.is_compiling()

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Drop some of the activations (N, ...)."""
        threshold = self.threshold
        if not self.training or not self.counts_masks(input) or not 0 < threshold < LEVELS:
            return super().forward(input)
        keep = kept(self.rows_of_pass(), input, threshold)
        output: Tensor = _Drop.apply(input, keep, threshold / LEVELS)
        return output


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, p: float) -> Tensor:
        ctx.save_for_backward(keep)
        ctx.scale = 1 / (1 - p)
        return _masked(x, keep, ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (keep,) = ctx.saved_tensors
        return _masked(grad, keep, ctx.scale), None, None


def _masked(x: Tensor, keep: Tensor, scale: float) -> Tensor:
    # In place on a copy of the mask: half the time of torch.where or masked_fill on a CPU.
    return torch.empty_like(x).copy_(keep).mul_(x).mul_(scale)


def kept(rows: Rows, x: Tensor, threshold: int) -> Tensor:
    """Which activations stay: bool, of x's shape.

    Args:
        rows: Rows whose masks are drawn.
        x: Activations (N, ...).
        threshold: Number of levels, of 65,536, that are dropped.
    """
    bits = sixteen_bits(rows, len(x), x[0].numel())
    keep = bits.ge(threshold - LEVELS // 2)
    if x.ndim != 4:
        return keep.reshape(x.shape)
    # Images are drawn as (H, W, C) whatever their layout, so that it changes no mask.
    channels, height, width = x.shape[1:]
    return keep.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def sixteen_bits(rows: Rows, num_rows: int, num_columns: int) -> Tensor:
    """Uniform int16 (num_rows, num_columns): rows of a table that ``rows.key`` determines."""
    counts = math.ceil(num_columns / PER_COUNT)
    philox = np.random.Philox(key=rows.key, counter=rows.first * counts)
    words = philox.random_raw(num_rows * counts * WORDS)
    table = torch.from_numpy(words.view(np.int16)).view(num_rows, counts * PER_COUNT)
    return table[:, :num_columns]


def convert(model: nn.Module) -> nn.Module:
    """Turn every plain ``nn.Dropout`` of ``model`` into ours, in place.

    Subclasses, and those that overwrite their input, have reasons of their own and stay.
    """
    for module in model.modules():
        if type(module) is nn.Dropout and not module.inplace:
            module.__class__ = Dropout
    return model


def dropouts(model: nn.Module) -> list[Dropout]:
    """Every layer of ``model`` whose masks can be named."""
    return [module for module in model.modules() if isinstance(module, Dropout)]


def rows_of(layers: list[Dropout], *, seed: int, step: int, first: int) -> list[Rows]:
    """The masks of each layer in a forward pass.

    Args:
        layers: Layers as ``dropouts(model)`` gives them.
        seed: Seed of the run.
        step: Number of the optimizer step, from 0.
        first: Index in the global batch of the first row that goes through.
    """
    numbers = count()
    found = []
    for layer in layers:
        if layer.owner is None:
            purpose: tuple[str | int, ...] = ("dropout", next(numbers), step)
        else:
            owner = layer.owner
            purpose = (owner.component, "dropout", owner.site, owner.number, step)
        found.append(Rows(key(seed, *purpose), first))
    return found


def feed(layers: list[Dropout], rows: list[Rows], words: Tensor | None = None) -> None:
    """Name the masks of a forward pass.

    Args:
        layers: Layers as ``dropouts(model)`` gives them.
        rows: Rows of each, as ``rows_of`` gives them.
        words: The same as int64 (layers, 3) on a GPU, for kernels of ours.
    """
    for index, layer in enumerate(layers):
        layer.rows = rows[index]
        layer.words = None if words is None else words[index]
