"""The C library keeps freed memory for the next step, and has it in huge pages.

A step frees activations of hundreds of megabytes and takes as many again. By itself glibc
returns such blocks at once, and every page of the next ones is fetched and cleared anew:
measured a fifth to a quarter of a step of airbench94 at batch 1024.

Pages of 2 MiB instead of 4 KiB spare the processor looking addresses up. torch's own switch for
them, ``THP_MEM_ALLOC_ENABLE``, asks for each large tensor alone, at the start of a page: blocks
then fit less well into each other's place (a process of WRN-26-2 was a fifth larger), and it is
read when torch first allocates. Here it is asked for the memory that the heap will grow into, at
any time. Changes no number.
"""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import suppress
from pathlib import Path

# Names in malloc.h, and what the C library calls them.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
ALL = -1  # of what is free at the top of the heap is kept
PADDING = 64 * 2**20  # bytes by which the heap grows at least
MADV_HUGEPAGE = 14  # in sys/mman.h
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
STRICT = "2"  # what is reserved counts as used
OF_TORCH = "THP_MEM_ALLOC_ENABLE"
RESERVED_PART = 4  # of the machine's memory, one in so many
MOST_RESERVED = 16 * 2**30


def keep_freed_memory() -> bool:
    """Keep freed memory in this process from now on, whoever freed it.

    Returns:
        Whether that is so: with glibc only, and not where the user has set ``MALLOC_*`` or
        ``GLIBC_TUNABLES`` in the environment.
    """
    if _why_not_kept():
        return False
    libc = ctypes.CDLL(None)
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: ALL, M_TOP_PAD: PADDING}
    return all(libc.mallopt(name, value) == 1 for name, value in settings.items())


def use_huge_pages() -> bool:
    """Have the heap grow into huge pages; for a process that keeps freed memory.

    The heap is made larger by a block that nobody touches, which takes no memory, and which is
    free again when its pages have been spoken of.

    Returns:
        Whether the system will give them.
    """
    if why_no_huge_pages():
        return False
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free.argtypes = [ctypes.c_void_p]
    page = os.sysconf("SC_PAGE_SIZE")
    size = min(os.sysconf("SC_PHYS_PAGES") // RESERVED_PART * page, MOST_RESERVED)
    block = libc.malloc(size + page)
    if block is None:
        return False
    is_asked = libc.madvise(block + -block % page, size, MADV_HUGEPAGE) == 0
    libc.free(block)
    return bool(is_asked)


def why_no_huge_pages() -> str:
    """What keeps training from huge pages, as a phrase; empty: nothing."""
    setting = ""
    with suppress(OSError):  # another system, or a kernel without them
        setting = HUGE_PAGES.read_text(encoding="ascii")
    if "[madvise]" not in setting and "[always]" not in setting:
        return "the system gives none" + f": {HUGE_PAGES} is {setting.strip()}" * bool(setting)
    if OF_TORCH in os.environ:
        return f"{OF_TORCH} is set, and torch is left to it"
    if _is_scarce():
        return "what a process may reserve is limited"
    return _why_not_kept()


def _why_not_kept() -> str:
    found = [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]
    if found:
        return f"{min(found)} is set, and malloc is left to it"
    return "" if platform.libc_ver()[0] == "glibc" else "the C library is another than glibc"


def _is_scarce() -> bool:
    import resource  # Linux has it, and only Linux gets here

    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    if any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in limits):
        return True
    with suppress(OSError):
        return OVERCOMMIT.read_text(encoding="ascii").strip() == STRICT
    return False
