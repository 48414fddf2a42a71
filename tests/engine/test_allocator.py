"""Freed memory is kept: pages that were used once are not fetched again."""

import os
import subprocess
import sys

import pytest

# 200 MB are used and freed three times; the pages that the third time had to fetch are printed.
PROGRAM = """
import resource, sys
import numpy as np
from cifarzoo.engine.device.allocator import keep_freed_memory

is_kept = sys.argv[1] == "keep" and keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(25_000_000).fill(1.0)
    fetched = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(is_kept, fetched)
"""


def fetched_pages(mode: str, **environment: str) -> tuple[bool, int]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode],
        env={**inherited, "NUMPY_MADVISE_HUGEPAGE": "0", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    kept, pages = done.stdout.split()
    return kept == "True", int(pages)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is on Linux")
def test_memory_that_is_used_again_is_not_fetched_again():
    assert fetched_pages("leave")[1] > 40_000  # of 4 KiB, for 200 MB
    is_kept, pages = fetched_pages("keep")
    assert is_kept
    assert pages < 400


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is on Linux")
def test_a_user_who_has_tuned_malloc_is_not_overruled():
    assert fetched_pages("keep", MALLOC_ARENA_MAX="2")[0] is False
