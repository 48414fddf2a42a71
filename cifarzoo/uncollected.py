"""Imports without Python's garbage collector.

What an import makes lives as long as the process, and is looked at by every collection meanwhile:
without them torch is imported in seven eighths of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing is collected within ``with``."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()
