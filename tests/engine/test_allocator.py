"""Freed memory is kept: pages that were used once are not fetched again, and they are huge."""

import os
import subprocess
import sys

import pytest

from cifarzoo.engine.device import allocator
from cifarzoo.engine.device.allocator import HUGE_PAGES, why_no_huge_pages

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


# Tensors of 320 MB are made after others were made and freed; whether huge pages were asked for,
# and the kB that are in them and that the process has, are printed. Then how many kB of as many the
# system has in huge pages for whoever asks, before and after: of memory in pieces it has fewer.
TENSORS = r"""
import mmap, re
import torch
from cifarzoo.engine.device.allocator import keep_freed_memory, use_huge_pages

def kilobytes(name):
    return int(re.search(name + r":\s+(\d+)", open("/proc/self/smaps_rollup").read())[1])

def had():
    before = kilobytes("AnonHugePages")
    with mmap.mmap(-1, 320 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as asked:
        asked.madvise(mmap.MADV_HUGEPAGE)
        for place in range(0, len(asked), 4096):
            asked[place] = 1
        return kilobytes("AnonHugePages") - before

torch.ones(10_000_000)
before = had()
keep_freed_memory()
is_asked = use_huge_pages()
tensors = [torch.ones(n, dtype=torch.bfloat16) for n in (1_000_000, 7_000_000) * 20]
print(is_asked, kilobytes("AnonHugePages"), kilobytes("Rss"), min(before, had()))
"""
# Whether huge pages are asked for where something is limited.
LIMITED = """
import resource, sys
from cifarzoo.engine.device.allocator import use_huge_pages

for limit in sys.argv[1:]:
    resource.setrlimit(getattr(resource, limit), (2**40, resource.RLIM_INFINITY))
print(use_huge_pages())
"""
# What the heap of a process is that has trained two steps.
TRAINED = r"""
import re, sys
import torch
import cifarzoo

torch.ones(3).sum()  # as of a caller who has used torch before
small = {"run.max_steps": 2, "glyphs.train_images": 128, "glyphs.test_images": 64}
cifarzoo.train("quickstart", set=small, out=sys.argv[1], progress=False)
for mapping in re.split(r"\n(?=[0-9a-f]+-)", open("/proc/self/smaps").read()):
    if "[heap]" in mapping:
        print(re.search("VmFlags:.*", mapping)[0])
"""
needs_huge_pages = pytest.mark.skipif(
    not HUGE_PAGES.is_file() or "[never]" in HUGE_PAGES.read_text(encoding="ascii"),
    reason="this system gives no huge pages",
)


def output_of(program: str, *arguments: object, **environment: str) -> str:
    tuned = ("MALLOC_", "GLIBC", "THP_")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(tuned)}
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**inherited, "NUMPY_MADVISE_HUGEPAGE": "0", **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def fetched_pages(mode: str, **environment: str) -> tuple[bool, int]:
    kept, pages = output_of(PROGRAM, mode, **environment).split()
    return kept == "True", int(pages)


def huge_pages(**environment: str) -> tuple[bool, int, int, int]:
    asked, huge, resident, free = output_of(TENSORS, **environment).split()
    return asked == "True", int(huge), int(resident), int(free)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is on Linux")
def test_memory_that_is_used_again_is_not_fetched_again():
    assert fetched_pages("leave")[1] > 40_000  # of 4 KiB, for 200 MB
    is_kept, pages = fetched_pages("keep")
    assert is_kept
    assert pages < 400


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is on Linux")
def test_a_user_who_has_tuned_malloc_is_not_overruled():
    assert fetched_pages("keep", MALLOC_ARENA_MAX="2")[0] is False


@needs_huge_pages
def test_large_tensors_lie_in_huge_pages_and_take_no_more_memory():
    is_asked, huge, resident, free = huge_pages()
    _, _, resident_without, _ = huge_pages(THP_MEM_ALLOC_ENABLE="0")
    assert is_asked
    if free < 280_000:
        pytest.skip(f"of 320,000 kB in huge pages this system has {free} now")
    assert huge > 280_000
    assert resident < 1.05 * resident_without


@needs_huge_pages
@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "THP_MEM_ALLOC_ENABLE"])
def test_what_the_user_has_set_of_memory_is_left_at_it(name, monkeypatch):
    monkeypatch.setenv(name, "0")
    assert output_of(LIMITED, **{name: "0"}) == "False\n"
    assert why_no_huge_pages().startswith(f"{name} is set")


@needs_huge_pages
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_nothing_is_reserved_where_that_is_limited(limit):
    assert output_of(LIMITED) == "True\n"
    assert output_of(LIMITED, limit) == "False\n"


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("always [madvise] never\n", ""),
        ("[always] madvise never\n", ""),
        ("always madvise [never]\n", "the system gives none: {path} is always madvise [never]"),
        (None, "the system gives none"),
    ],
)
def test_huge_pages_are_as_the_system_has_them(setting, why, tmp_path, monkeypatch):
    path = tmp_path / "enabled"
    if setting is not None:
        path.write_text(setting)
    monkeypatch.setattr(allocator, "HUGE_PAGES", path)
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    assert why_no_huge_pages() == why.format(path=path)


@needs_huge_pages
def test_a_training_has_huge_pages_also_where_torch_was_used_before(tmp_path):
    heaps = output_of(TRAINED, tmp_path).splitlines()
    assert any(" hg" in flags for flags in heaps)
