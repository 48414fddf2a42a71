"""Random numbers as functions: of (seed, purpose, epoch, step), never of what was drawn before.

Numbers are drawn on the CPU by NumPy's Philox under a 128-bit key (torch's CPU generator
uses only 32 bits of its seed), for the whole global batch, and sliced to the rank's part. So
nothing about generators is in a checkpoint, and 1, 2 or 8 devices see the same training.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

Floats = np.ndarray[Any, np.dtype[np.float32]]
Indices = np.ndarray[Any, np.dtype[np.int64]]


def key(seed: int, *purpose: str | int) -> int:
    """A 128-bit key for ``purpose`` under ``seed``: the blake2b digest of both."""
    # int(): NumPy's integers print as np.int64(3), and must give the same key as 3.
    text = repr(tuple(part if isinstance(part, str) else int(part) for part in (seed, *purpose)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """The generator of all numbers for ``purpose`` under ``seed``, from its start."""
    return np.random.Generator(np.random.Philox(key=key(seed, *purpose)))


def on_device(numbers: np.ndarray[Any, Any], device: torch.device | str) -> Tensor:
    """A copy of ``numbers``, which may not be writable; a GPU's queue does not wait for it."""
    copied = torch.from_numpy(numbers.copy())
    if torch.device(device).type == "cuda":
        return copied.pin_memory().to(device, non_blocking=True)
    return copied.to(device)


def uniform(rng: np.random.Generator, count: int, low: float, high: float) -> Floats:
    """Float32 numbers from [low, high), the upper end left out after rounding too."""
    numbers = rng.random(count, dtype=np.float32) * np.float32(high - low) + np.float32(low)
    below_high = np.nextafter(np.float32(high), np.float32(low))
    below: Floats = np.minimum(numbers, below_high, dtype=np.float32)
    return below
