"""The generators that everybody draws from: torch's, NumPy's and Python's.

cifarzoo itself draws from none of them. What a component takes from them is a function of
(seed, purpose, step, rank), since they are seeded anew before it acts; and whoever calls
cifarzoo has them back as they were.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.random import mtrand

from cifarzoo.randomness.keys import key


def seed_generators(seed: int, *purpose: str | int) -> None:
    """Seed torch's, NumPy's and Python's global generators for ``purpose``.

    That is exact on resume, and not independent of the number of ranks where the rank is part
    of the purpose. Generators that a component makes for itself are its own affair.
    """
    number = key(seed, *purpose)
    torch.default_generator.manual_seed(number % 2**63)  # torch.manual_seed costs a hundred of it
    if torch.cuda.is_available():
        torch.cuda.manual_seed(number % 2**63)
    # 32 bits, as torch's uses on a CPU: more of them take NumPy five times as long.
    np.random.seed(number % 2**32)  # noqa: NPY002  # the global one is what strangers draw from
    random.seed(number)


@contextmanager
def kept_generators(gpu: int | None = None) -> Iterator[None]:
    """Within ``with``, draw and seed at will; after it, the generators are as they were.

    Args:
        gpu: The GPU whose generator is kept too; None: no GPU's is.
    """
    python, numpy = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
    bits = mtrand.get_bit_generator()
    if not isinstance(bits, np.random.MT19937):  # the caller chose another kind
        mtrand.set_bit_generator(np.random.MT19937())
    try:
        with torch.random.fork_rng([] if gpu is None else [gpu]):
            yield
    finally:
        mtrand.set_bit_generator(bits)
        np.random.set_state(numpy)  # noqa: NPY002
        random.setstate(python)
