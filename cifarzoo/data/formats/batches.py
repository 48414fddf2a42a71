"""The python version of CIFAR: pickled dictionaries, read without letting them run code.

A pickle names functions and calls them. Those that rebuild a NumPy array are let through,
everything else is refused.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from cifarzoo.data.damage import DamageError
from cifarzoo.data.splits import Images, Labels

_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_ALLOWED = {
    *((module, "_reconstruct") for module in _MULTIARRAY),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    """Builds plain containers and NumPy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        if module in _MULTIARRAY:
            # NumPy 2 warns about the old name, NumPy 1 doesn't know the new one.
            module = _MULTIARRAY[hasattr(np, "_core")]
        return super().find_class(module, name)


def decode(raw: bytes, *, key: str, where: str) -> tuple[Images, Labels]:
    """Read the images and labels of one pickled batch.

    Args:
        raw: A pickled dictionary with ``data``, uint8 (N, 3072), and lists of labels.
        key: Key of the labels: ``labels``, ``fine_labels`` or ``coarse_labels``.
        where: Name of the file, for the error.

    Returns:
        Images (N, 3, 32, 32) and labels (N,).

    Raises:
        DamageError: It is no such pickle, or wants to run something.
    """
    try:
        batch = _ArraysOnly(io.BytesIO(raw), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything, and none of it is ours
        raise DamageError(f"{where} is no pickle of arrays alone: {error}") from error
    if not isinstance(batch, dict) or not {"data", key} <= batch.keys():
        found = sorted(map(str, batch)) if isinstance(batch, dict) else type(batch).__name__
        raise DamageError(f"{where} holds {found}; expected data and {key}")
    return _images(batch["data"], where), _labels(batch[key], len(batch["data"]), where)


def _images(data: Any, where: str) -> Images:
    is_array = isinstance(data, np.ndarray)
    if not is_array or data.dtype != np.uint8 or data.shape[1:] != (3072,):
        found = f"{data.dtype} {data.shape}" if is_array else type(data).__name__
        raise DamageError(f"{where}: data is {found}; expected uint8 (N, 3072)")
    images: Images = data.reshape(-1, 3, 32, 32)
    return images


def _labels(labels: Any, count: int, where: str) -> Labels:
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise DamageError(f"{where}: the labels are no list of whole numbers")
    if len(labels) != count:
        raise DamageError(f"{where} has {len(labels):,} labels for {count:,} images")
    return np.array(labels, np.int64)
