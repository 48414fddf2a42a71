"""The kernels for GPUs, in Triton's interpreter on a CPU, and compiled for GPUs without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="torch comes with Triton for GPUs alone here")
ROOT = Path(__file__).parents[3]
TESTS = (
    "test_norms_are_those_of_float64",
    "test_what_is_not_finite_spoils_its_channel_and_group_alone",
)


# In a process of its own: whether Triton interprets is decided when it is imported.
def test_interpreted_they_pass_the_tests_of_those_for_a_cpu():
    tests = [f"tests/layers/kernels/test_equality.py::{name}" for name in TESTS]
    quiet = ("-W", "ignore::RuntimeWarning")  # NumPy's, of what overflows
    line = [sys.executable, "-m", "pytest", "-n", "0", "-q", *quiet, *tests]
    env = {**os.environ, "TRITON_INTERPRET": "1"}

    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-4000:]
    assert f"{len(TESTS)} passed" in done.stdout


TYPES = {  # of the arguments of kernels, by their names
    **dict.fromkeys(("moments", "of_groups"), "*fp64"),
    **dict.fromkeys(("weight", "bias", "mean", "var", "parts", "of_weight", "of_bias"), "*fp32"),
    **dict.fromkeys(("kept", "per_count", "momentum", "factor"), "fp32"),
    "masks": "*i64",
}
TILES = {"TILE_ROWS": 32, "TILE_CHANNELS": 64}
AFTER = {"EPS": 1e-5, "BLOCK": 1024, "PER_COUNT": 16}
KERNELS = [
    ("moments_of_parts", TILES),
    ("moments_of_groups", TILES),
    ("sums_of_groups", {**TILES, "EPS": 1e-5}),
    ("move", TILES),
    *(
        (name, {**TILES, **AFTER, "ACTIVATION": activation, "DROPS": drops})
        for name in ("apply", "sums_of_parts", "gradient")
        for activation, drops in ((0, False), (1, False), (1, True), (2, False))
    ),
]
COMPILE = """
import sys, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from cifarzoo.layers.kernels import triton_norms

KERNELS, TYPES = eval(sys.stdin.read())
for capability in (80, 90):
    for images in ("fp32", "bf16", "fp16"):
        for name, given in KERNELS:
            kernel = getattr(triton_norms, name)
            own = {key: value for key, value in given.items() if key in kernel.arg_names}
            types = {key: "*" + images for key in ("x", "y", "gradient", "result")} | TYPES
            types |= dict.fromkeys(own, "constexpr")
            signature = {key: types.get(key, "i32") for key in kernel.arg_names}
            source = ASTSource(kernel, signature, constexprs=own)
            made = triton.compile(source, target=GPUTarget("cuda", capability, 32))
            assert made.asm["cubin"][:4] == bytes([127]) + b"ELF", name
            print(capability, images, name)
"""


def test_they_compile_for_gpus(tmp_path):
    given = repr((KERNELS, TYPES))
    env = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    line = [sys.executable, "-c", COMPILE]

    done = subprocess.run(
        line, cwd=ROOT, env=env, input=given, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-4000:]
    assert len(done.stdout.splitlines()) == 2 * 3 * len(KERNELS)
