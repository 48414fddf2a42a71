"""The kernels' tests on a library that finds each access outside of a buffer: GCC's sanitizers.

The library is compiled as a user's machine does it, by a compiler that adds the sanitizers. Torch
takes every tensor from malloc, so what the sanitizers know is where each tensor ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "sanitize"
TESTS = ROOT / "tests" / "layers" / "kernels"
COMPILER = """#!/bin/sh
unset LD_PRELOAD
exec g++ "$@" -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \\
  -fsanitize=address,undefined,float-cast-overflow
"""
# The second is there before torch: what it throws is looked up in it.
PRELOADED = ("libasan.so", "libstdc++.so.6")
PLANTED = """
import sys
from pathlib import Path
import torch
from cifarzoo.layers.kernels import operations
from cifarzoo.layers.kernels.build import built
from cifarzoo.layers.kernels.library import Library
operations.use(Library(built(Path(sys.argv[1])).path))
too_few = torch.zeros(63, dtype=torch.uint8)
torch.ops.cifarzoo.max_unpool(torch.ones(1, 16, 2, 2), too_few, 4, 4)
"""


def main() -> int:
    """0: no access was outside; 1: one was, or the sanitizers find nothing at all."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(mode=0o700, parents=True)
    environment = _environment()
    planted = _run(environment, "-c", PLANTED, FOLDER / "cifarzoo" / "kernels")
    if planted.returncode == 0 or "heap-buffer-overflow" not in planted.stderr:
        sys.stderr.write(
            f"{planted.stderr}the planted fault, choices that are too few, was not reported\n"
        )
        return 1
    tests = ["-m", "pytest", "-n", "0", "-q", "--capture=no"]  # a report comes with an abort
    tests += [f"--basetemp={FOLDER / 'tests'}", f"--ignore={TESTS / 'test_build.py'}", str(TESTS)]
    return min(1, abs(_run(environment, *tests, shown=True).returncode))


def _environment() -> dict[str, str]:
    compiler = FOLDER / "g++"
    compiler.write_text(COMPILER, encoding="utf-8")
    compiler.chmod(0o755)
    preloaded = [_library(name) for name in PRELOADED]
    return {
        **os.environ,
        "XDG_CACHE_HOME": str(FOLDER),
        "CXX": str(compiler),
        "LD_PRELOAD": " ".join(preloaded),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python frees little at its end
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def _library(name: str) -> str:
    asked = ["g++", f"-print-file-name={name}"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    if not Path(found).is_absolute():
        raise SystemExit(f"g++ has no {name} here")
    return found


def _run(
    environment: dict[str, str], *arguments: str | Path, shown: bool = False
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # ourselves
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=not shown,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
