"""Which tensors kernels of ours may read: those with memory, and no transformation at work."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack


def is_readable(images: Any, *devices: str) -> TypeGuard[Tensor]:
    """Whether ``images`` are plain images on such a device, (N, C, H, W) in channels_last.

    Meta and fake tensors have no memory, and torch.func's are another's. Results in (N, C, H, W)
    lie in memory as they did, where torch's layers are called, which a view may need.
    """
    return (
        type(images) is Tensor
        and images.device.type in (devices or ("cpu",))
        and images.ndim == 4
        and images.is_contiguous(memory_format=torch.channels_last)
        and not torch.compiler.is_compiling()
        and peek_interpreter_stack() is None
    )
