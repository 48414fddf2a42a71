"""What steps of recipes ask of a GPU, counted on the stand-in: launches, copies, waits, memory.

``python -m tests.null_cuda.count RECIPE [NAME=VALUE ...]`` prints a line of JSON, in a process that
has the variables of ``stand_in.build``; ``-`` reads such words from standard input, a recipe a
line. ``NULL_CUDA_NAMES`` is a file for the names of what the last one launched.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from cifarzoo import config
from cifarzoo.bench.harness import build_harness
from cifarzoo.bench.variants import AS_IS, Variant
from cifarzoo.engine.distributed.world import World, pick_device

STEPS = 3
# In the order of counting.h.
KINDS = (
    *("kernel", "cublas", "cudnn", "triton", "graph", "captured"),
    *("wait", "wait_for_event"),
    *("to_device", "to_device_pageable", "to_host", "to_host_pageable", "within_device", "memset"),
)
LAUNCHES = ("kernel", "cublas", "cudnn", "triton", "memset", "within_device", "graph")
DATA = (
    "run.dataset=@glyphs",
    "glyphs.train_images=12288",
    "glyphs.test_images=8",
    "run.epochs=50",
    "run.precision='bfloat16'",
)


def main() -> None:
    """Count what is asked for."""
    first, *rest = sys.argv[1:]
    asked = [line.split() for line in sys.stdin] if first == "-" else [[first, *rest]]
    for recipe, *sets in asked:
        try:
            found = counted(recipe, sets)
        except Exception as error:  # the others are counted all the same
            traceback.print_exc()
            found = {"recipe": recipe, "error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


def counted(recipe: str, sets: list[str]) -> dict[str, Any]:
    """Counts of a step, by name, after as many steps as a graph wants first."""
    runtime = ctypes.CDLL(None)
    runtime.null_cuda_count.restype = ctypes.c_ulong
    torch.cuda.reset_peak_memory_stats()
    run = config.load(recipe, sets=[*DATA, *sets]).build()
    world = World(0, 1, pick_device(0))
    harness = build_harness(run, Variant(name=AS_IS), data=None, world=world)
    work = harness.train(STEPS)
    work()
    runtime.null_cuda_reset()
    began = time.process_time()
    work()
    seconds = time.process_time() - began
    found = {kind: runtime.null_cuda_count(i) / STEPS for i, kind in enumerate(KINDS)}
    if path := os.environ.get("NULL_CUDA_NAMES"):
        runtime.null_cuda_write_names(str(Path(path)).encode())
    answer = {
        "recipe": recipe,
        "sets": sets,
        "launches": sum(found[kind] for kind in LAUNCHES),
        **found,
        "host_ms": 1e3 * seconds / STEPS,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
    }
    del harness, work
    gc.collect()
    return answer


if __name__ == "__main__":
    main()
