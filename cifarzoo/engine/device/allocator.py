"""The C library keeps freed memory for the next step, instead of giving it back to the system.

A step frees activations of hundreds of megabytes and takes as many again. By itself glibc
returns such blocks at once, and every page of the next ones is fetched and cleared anew:
measured a fifth to a quarter of a step of airbench94 at batch 1024. Changes no number.
"""

from __future__ import annotations

import ctypes
import os
import platform

# Names in malloc.h, and what the C library calls them.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
LARGEST = 2**31 - 1  # an int: two gigabytes at the top of the heap are kept
PADDING = 64 * 2**20  # bytes by which the heap grows at least


def keep_freed_memory() -> bool:
    """Keep freed memory in this process from now on, whoever freed it.

    Returns:
        Whether that is so: with glibc only, and not where the user has set ``MALLOC_*`` or
        ``GLIBC_TUNABLES`` in the environment.
    """
    is_set = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if is_set or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: LARGEST, M_TOP_PAD: PADDING}
    return all(libc.mallopt(name, value) == 1 for name, value in settings.items())
