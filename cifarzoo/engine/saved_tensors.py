"""What ``torch.save`` wrote, read without running code, and in no more memory than it has bytes.

torch reads compressed archives, of which 4 MB can become 4 GB, and its restricted pickles may call
a few functions whose results are of any size. ``torch.save`` writes neither.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from cifarzoo.engine.assembly.validation import memory_of
from cifarzoo.errors import in_one_line
from cifarzoo.files.stored_zip import SwellingError, stored_members

# Bytes of names and numbers, each of which may become 200; the largest known has 1 MB.
MOST_PICKLED = 8 << 20
MOST_SHARED = 4  # tensors that show the same bytes; a checkpoint has averaged weights twice
ROOM = 64 << 20  # bytes that tensors may show besides, such as one number for all weights
NUM_PICKLES = 5  # before the tensors, in torch's format of before 2020
ARCHIVE = b"PK\3\4"  # what torch tells an archive by
GROWING = {b"\nbytearray\n": "bytearray", b"\nencode\n": "bytes"}  # called with any size


class UnusableError(ValueError):
    """Something that ``torch.save`` would not have written."""


def most_bytes() -> int:
    """Bytes that a file may have to be read on this machine: they are in memory twice."""
    return (memory_of(torch.device("cpu")) or sys.maxsize) // 2


def read_saved(data: bytes) -> Any:
    """The tensors, numbers and texts in the bytes of a file, on the CPU.

    Args:
        data: All bytes of the file.

    Raises:
        UnusableError: They can't be read, or would take more memory than the file has bytes.
    """
    for name, what in GROWING.items():
        if name in data:
            raise UnusableError(f"it holds {what}; expected tensors, numbers and texts alone")
    reason, state = "", None
    try:
        check = _check_archive if data.startswith(ARCHIVE) else _check_pickles
        check(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about forms of pickles and of tensors
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except UnusableError:
        raise
    except SwellingError as problem:
        reason = str(problem)
    except Exception as error:
        reason = _reason(error)
    if reason:  # not from torch's error, which advises to run what is in the file
        raise UnusableError(reason)
    shown = sum(tensor.nbytes for tensor in _tensors(state) if tensor.layout == torch.strided)
    if shown > (most := MOST_SHARED * len(data) + ROOM):
        raise UnusableError(
            f"its tensors have {shown:,} bytes, and the file {len(data):,}; expected at most "
            f"{most:,}"
        )
    return state


def _reason(error: Exception) -> str:
    """Why torch couldn't read a file; never its advice to turn ``weights_only`` off."""
    text = str(error)
    if (named := re.search(r"GLOBAL ([\w.]+)", text)) is not None:
        return f"it would run {named[1][:100]}; expected tensors, numbers and texts alone"
    if "weights_only" in text or isinstance(error, pickle.UnpicklingError):
        return "it holds other things than tensors, numbers and texts"
    return in_one_line(error)[:200]


def _check_archive(data: bytes) -> None:
    """Refuse members that are compressed, share their bytes, or are too much of a pickle."""
    for member in stored_members(data, writer="torch.save"):
        if member.filename.endswith(".pkl") and member.file_size > MOST_PICKLED:
            raise UnusableError(
                f"{member.filename} has {member.file_size:,} bytes; expected at most "
                f"{MOST_PICKLED:,}"
            )


def _check_pickles(data: bytes) -> None:
    """Refuse too much of a pickle in the older format."""
    file = io.BytesIO(data)
    for _ in range(NUM_PICKLES):
        for _operation in pickletools.genops(file):
            if file.tell() > MOST_PICKLED:
                raise UnusableError(
                    f"its pickles have more than {MOST_PICKLED:,} bytes; expected at most so many"
                )


def _tensors(state: Any) -> Iterator[Tensor]:
    """The tensors in dicts, lists and tuples, each object once, however deep."""
    left, seen = [state], set()
    while left:
        part = left.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Tensor):
            yield part
        elif isinstance(part, Mapping):
            left += part.values()
        elif isinstance(part, list | tuple | set):
            left += part
