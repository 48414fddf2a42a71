"""The compiled kernels, as functions on pointers; see ``kernels.cpp``."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
POINTER, SIZE, INT, WORD, REAL = (
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int,
    ctypes.c_uint64,
    ctypes.c_double,
)
SHAPE: list[Any] = [SIZE] * 3  # groups, rows, channels
NORM = [POINTER, POINTER, POINTER, REAL, INT]  # moments, scale and shift of a norm; eps; activation
MOVE: list[Any] = [POINTER, SIZE, SIZE, REAL, REAL, POINTER, POINTER]
SIGNATURES: dict[str, list[Any]] = {
    "statistics": [POINTER, *SHAPE, POINTER, INT],
    "apply": [POINTER, POINTER, *SHAPE, *NORM, SIZE, WORD, WORD, WORD, INT, REAL, INT],
    "gradient": [
        *[*[POINTER] * 3, *SHAPE, *NORM, REAL],  # gradient, images, output; what dropout kept
        *[INT, REAL, *[POINTER] * 4, INT],
    ],
    "pool": [*[POINTER] * 3, *[SIZE] * 4, INT],
    "unpool": [*[POINTER] * 3, *[SIZE] * 4, INT],
}


class Library:
    """The kernels of a shared library.

    Args:
        path: Path of the shared library.

    Raises:
        OSError: It can't be loaded.
        AttributeError: It lacks a kernel.
    """

    def __init__(self, path: Path) -> None:
        loaded = ctypes.CDLL(str(path))
        self.move, self.chunk_rows = loaded.move, loaded.chunk_rows
        self.move.argtypes, self.move.restype = MOVE, None
        self.chunk_rows.argtypes, self.chunk_rows.restype = SHAPE, SIZE
        self._kernels = {}
        for name, signature in SIGNATURES.items():
            for dtype, suffix in DTYPES.items():
                kernel = getattr(loaded, f"{name}_{suffix}")
                kernel.argtypes, kernel.restype = signature, None
                self._kernels[name, dtype] = kernel

    def call(self, name: str, dtype: torch.dtype, *arguments: Tensor | float | None) -> None:
        """Run a kernel on this thread and as many others as torch uses.

        Args:
            name: Name of the kernel.
            dtype: Type of the images.
            arguments: Tensors, which must be contiguous and stay alive, or None, and numbers.
        """
        given = (a.data_ptr() if isinstance(a, Tensor) else a for a in arguments)
        self._kernels[name, dtype](*given, torch.get_num_threads())
