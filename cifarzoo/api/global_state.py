"""Global state of torch, NumPy and Python: training brings its own, and the caller's comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cifarzoo.randomness.global_generators import kept_generators


@contextmanager
def own_global_state() -> Iterator[None]:
    """Within ``with``, what the caller set doesn't matter; after it, all is as it was.

    That is: the generators of torch, NumPy and Python, gradients and inference mode, the default
    number type and device, the current GPU, and the number of threads (which training leaves as
    it is, since it decides bits). Deterministic kernels and TF32 are brought by
    ``engine.device.precision.numerics``.
    """
    gpu = torch.cuda.current_device() if torch.cuda.is_available() else None
    dtype, device, threads = (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_num_threads(),
    )
    torch.set_default_dtype(torch.float32)
    if device.type != "cpu":
        torch.set_default_device(None)
    try:
        with kept_generators(gpu), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        if device.type != "cpu":
            torch.set_default_device(device)
        torch.set_num_threads(threads)
        if gpu is not None:
            torch.cuda.set_device(gpu)
