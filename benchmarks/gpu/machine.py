"""The device: what it is, and the rates of a matrix product, a convolution and a copy."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import torch

from benchmarks.gpu.child import Session
from cifarzoo.bench.machine import Arithmetic, convolution, matmul
from cifarzoo.bench.report import origin
from cifarzoo.bench.spreads import rate
from cifarzoo.bench.timing import Job, Work, interleave

GIB = 2**30
ROUNDS = 3
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
COPIED = {"cpu": 2**25, "cuda": 2**30}  # bytes; many times what the caches hold
SMI = ("name", "driver_version", "clocks.max.sm", "clocks.max.mem", "power.limit", "pstate")


def describe(session: Session) -> None:
    """Record versions, the device, and its rates in each precision that it has."""
    device = session.world.device
    session.record("versions", {**origin(), "device": str(device)})
    if device.type == "cuda":
        session.record("gpu", gpu(device))
    with session.recording_errors("rates"):
        session.record("rates", rates(device, is_small=session.is_small))


def gpu(device: torch.device) -> dict[str, Any]:
    """Facts about a GPU, from torch and from ``nvidia-smi``."""
    properties = torch.cuda.get_device_properties(device)
    found = {
        "name": properties.name,
        "memory_gib": properties.total_memory / GIB,
        "multiprocessors": properties.multi_processor_count,
        "compute": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "has_bfloat16": torch.cuda.is_bf16_supported(),
    }
    program = shutil.which("nvidia-smi")
    if program:
        query = [program, f"--query-gpu={','.join(SMI)}", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, check=False)  # noqa: S603
        found["nvidia_smi"] = done.stdout.strip() or done.stderr.strip()
    return found


def rates(device: torch.device, *, is_small: bool) -> dict[str, Any]:
    """Operations a second of a matrix product and a convolution, and bytes a second of a copy."""
    jobs: dict[str, Job] = {"copy": _copy(device)}
    for precision in PRECISIONS[: 1 if is_small else None]:
        arithmetic = Arithmetic(precision, torch.get_num_threads())
        for name, job in (("matmul", matmul), ("convolution", convolution)):
            jobs[f"{name} {precision}"] = _with_tf32(job(arithmetic, device), precision == "tf32")
    samples = interleave(jobs, rounds=1 if is_small else ROUNDS, device=device)
    return {name: rate(taken, "wall_seconds") for name, taken in samples.items()}


def _with_tf32(job: Job, is_allowed: bool) -> Job:
    """``job`` under torch's switches for TF32, which jobs of other precisions change back."""

    def switch() -> None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = is_allowed

    def ready() -> Work:
        switch()
        return job()

    return ready


def _copy(device: torch.device) -> Job:
    source = torch.ones(COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def work() -> float:
        for _ in range(10):
            target.copy_(source)
        return 2.0 * 10 * source.numel()  # read and written

    return lambda: work
