"""The numbers that a run draws, as plain arrays: inputs, which the reference applies itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cifarzoo.data.order import batch_indices
from cifarzoo.randomness.keys import generator, key, uniform
from tests.first_steps.rows import BATCH, NUM_TRAIN, SEED, STEPS_PER_EPOCH

# On a CPU a drop probability has 16 bits: 0.3 is 19,661 of 65,536.
DROPPED, LEVELS = 19_661, 65_536

Array = np.ndarray[Any, Any]


def order(step: int) -> Array:
    """The images of a step (BATCH,)."""
    return batch_indices(SEED, step, num_images=NUM_TRAIN, batch_size=BATCH)


def windows(step: int) -> tuple[Array, Array, Array]:
    """First rows, first columns, and whether to mirror, for each image of a step."""
    crops, flips = (_rng(purpose, step) for purpose in ("pad_crop", "flip"))
    top, left = (crops.integers(9, size=BATCH) for _ in range(2))
    return top, left, flips.random(BATCH) < 0.5


def shake_gates(step: int, num_blocks: int) -> list[tuple[Tensor, Tensor]]:
    """Forward and backward gate (BATCH, 1, 1, 1) of each block."""
    return [
        (
            _gate(uniform(_of_gate("shake_shake", block, 0, step), BATCH, 0, 1)),
            _gate(uniform(_of_gate("shake_shake", block, 1, step), BATCH, 0, 1)),
        )
        for block in range(1, num_blocks + 1)
    ]


def drop_gates(step: int, keep: list[float]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Mask, alpha and beta (BATCH, 1, 1, 1) of each block, kept with these probabilities."""
    return [
        (
            _gate(_of_gate("shake_drop", block, 0, step).random(BATCH) < probability),
            _gate(uniform(_of_gate("shake_drop", block, 1, step), BATCH, -1, 1)),
            _gate(uniform(_of_gate("shake_drop", block, 2, step), BATCH, 0, 1)),
        )
        for block, probability in enumerate(keep, start=1)
    ]


def dropout_mask(step: int, layer: int, shape: torch.Size) -> Tensor:
    """Which activations (N, C, H, W) of a layer stay: 16 bits of Philox for each, as (H, W, C)."""
    images, channels, height, width = shape
    philox = np.random.Philox(key=key(SEED, "dropout", layer, step))
    bits = philox.random_raw(shape.numel() // 4).view(np.int16).astype(np.int64)
    keep = bits + LEVELS // 2 >= DROPPED
    return torch.from_numpy(keep.reshape(images, height, width, channels)).permute(0, 3, 1, 2)


def _rng(purpose: str, step: int) -> np.random.Generator:
    return generator(SEED, purpose, step // STEPS_PER_EPOCH, step)


def _of_gate(component: str, block: int, number: int, step: int) -> np.random.Generator:
    """The generator of a block's gate, each with a key of its own."""
    return generator(SEED, component, "gate", block, number, step)


def _gate(numbers: Array) -> Tensor:
    return torch.from_numpy(numbers.astype(np.float64)).reshape(-1, 1, 1, 1)
