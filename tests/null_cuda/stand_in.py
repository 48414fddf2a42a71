"""Builds the stand-in and says how a process gets it in place of CUDA."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from importlib import util
from pathlib import Path

HERE = Path(__file__).parent
RUNTIME, DRIVER = "libnullcuda.so", "libcuda.so.1"
SOURCES = {RUNTIME: ("runtime.c", "libraries.c"), DRIVER: ("driver.c",)}


@cache
def why_not() -> str:
    """Why the stand-in can't be had here; empty: it can."""
    import torch

    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    if torch.cuda.is_available():
        return "there is a GPU"
    if shutil.which("gcc") is None:
        return "there is no gcc"
    return "" if _headers() else "there are no CUDA headers, which triton brings"


def _headers() -> Path | None:
    spec = util.find_spec("triton")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "backends/nvidia/include"
    return folder if (folder / "driver_types.h").exists() else None


def build(folder: Path) -> dict[str, str]:
    """Build the libraries into ``folder``; the variables with which a process uses them."""
    for name, sources in SOURCES.items():
        subprocess.run(
            [
                *("gcc", "-std=gnu17", "-shared", "-fPIC", "-O1", "-Wall", "-Werror"),
                *("-Wno-unused-parameter", "-I", str(_headers()), "-o", str(folder / name)),
                *(str(HERE / source) for source in sources),
                *("-ldl", "-lpthread"),
            ],
            check=True,
        )
    return {
        "LD_PRELOAD": str(folder / RUNTIME),
        "LD_LIBRARY_PATH": str(folder),
        "TRITON_LIBCUDA_PATH": str(folder),
        "TRITON_CACHE_DIR": str(folder / "triton"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")]),
    }
