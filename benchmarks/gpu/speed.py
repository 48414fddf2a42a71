"""How fast a recipe trains in each variant: images a second, waits, kernels and memory."""

from __future__ import annotations

import gc
import math
import resource
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

import cifarzoo
from benchmarks.gpu.child import Session
from cifarzoo import config
from cifarzoo.bench.harness import Harness, build_harness, read_once
from cifarzoo.bench.spreads import rate
from cifarzoo.bench.timing import interleave, timed
from cifarzoo.bench.variants import Variant, variants

GIB = 2**30
ROUNDS, SAMPLE_SECONDS, MOST_STEPS = 3, 1.0, 60
WATCHED_STEPS = 3  # in which waits are counted, and kernels
MOST_KERNELS = 10


def measure(session: Session) -> None:
    """Record every variant of the recipe; one that fails costs only itself."""
    check = session.check
    datasets: dict[str, Any] = {}
    wanted = variants(check.variants) if check.variants else [*variants(())][:1]
    for variant in wanted:
        with session.recording_errors(variant.name):
            sets = [*check.sets, *variant.settings]
            loaded = config.load(check.recipe, sets=sets)
            run = loaded.build()
            dataset = datasets.setdefault(repr(run.dataset), read_once(run.dataset))
            _reset_peak(session.world.device)
            harness = build_harness(
                replace(run, dataset=dataset), variant, data=session.data, world=session.world
            )
            session.record(variant.name, _speeds(harness, session, variant))
            with session.recording_errors(f"{variant.name}: waits"):
                session.record(f"{variant.name}: waits", waits(harness))
            with session.recording_errors(f"{variant.name}: kernels"):
                session.record(f"{variant.name}: kernels", kernels(harness))
            del harness
            gc.collect()


def _speeds(harness: Harness, session: Session, variant: Variant) -> dict[str, Any]:
    steps = 1 if session.is_small else _steps(harness)
    jobs = {
        "training": lambda: harness.train(steps),
        "bare": lambda: harness.train_bare(steps),
        "batches": lambda: harness.make_batches(steps),
        "evaluation": lambda: harness.evaluate(steps),
    }
    rounds = 1 if session.is_small else ROUNDS
    samples = interleave(jobs, rounds=rounds, device=harness.device)
    images_per_step = samples["training"][0].amount / steps
    per_second = {name: rate(taken, "wall_seconds") for name, taken in samples.items()}
    host = [1e3 * sample.cpu_seconds / steps for sample in samples["training"]]
    return {
        "recipe": session.check.recipe,
        "settings": [*session.check.sets, *variant.settings],
        "precision": harness.arithmetic.precision,
        "batch_size": images_per_step,
        "warm_up_seconds": harness.warm_up_seconds,
        "images_per_second": per_second,
        "step_ms": 1e3 * images_per_step / per_second["training"]["median"],
        "host_cpu_ms": min(host),
        "flops_per_second": harness.flops * per_second["training"]["median"],
        "peak_memory_gib": _peak(harness.device) / GIB,
    }


def _steps(harness: Harness) -> int:
    """As many steps as take a second; those of warming up may have compiled."""
    _, seconds, _ = timed(harness.train(3), harness.device)
    return max(1, min(MOST_STEPS, math.ceil(3 * SAMPLE_SECONDS / seconds)))


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.init()  # the allocator knows no device before
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> float:
    """Bytes that tensors took at most on a GPU; on a CPU, the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def waits(harness: Harness) -> dict[str, Any]:
    """How often a step makes the host wait for a GPU, by line of cifarzoo."""
    work = harness.train(WATCHED_STEPS)
    with _counting_waits(harness.device) as places:
        work()
    return {
        "per_step": sum(places.values()) / WATCHED_STEPS,
        "places": {place: number / WATCHED_STEPS for place, number in places.most_common()},
    }


@contextmanager
def _counting_waits(device: torch.device) -> Iterator[Counter[str]]:
    """Within ``with``, the warnings of torch's debug mode are counted by where they come from."""
    places: Counter[str] = Counter()
    root = str(Path(cifarzoo.__file__).parent)

    def count(message: Warning | str, *_: object, **__: object) -> None:
        if "called a synchronizing" in str(message):
            frames = traceback.extract_stack()
            place = [frame for frame in frames if frame.filename.startswith(root)][-1:] or frames
            places[f"{Path(place[-1].filename).name}:{place[-1].lineno}"] += 1

    shown = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = count
        _set_sync_debug_mode(device, "warn")
        try:
            yield places
        finally:
            _set_sync_debug_mode(device, "default")
            warnings.showwarning = shown


def _set_sync_debug_mode(device: torch.device, mode: str) -> None:
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode(mode)


def kernels(harness: Harness) -> dict[str, Any]:
    """Kernels of a step on a GPU, operators on a CPU: how many, how long, and the longest."""
    is_gpu = harness.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_gpu else [])]
    work = harness.train(WATCHED_STEPS)
    with profile(activities=activities) as profiler:
        timed(work, harness.device)
    of_device = "CUDA" if is_gpu else "CPU"
    events = [
        event
        for event in profiler.key_averages()
        if str(event.device_type).endswith(of_device) and not event.is_user_annotation
    ]
    microseconds = {
        event.key: (event.self_device_time_total if is_gpu else event.self_cpu_time_total)
        for event in events
    }
    longest = sorted(microseconds, key=lambda name: -microseconds[name])[:MOST_KERNELS]
    return {
        "per_step": sum(event.count for event in events) / WATCHED_STEPS,
        "busy_ms": sum(microseconds.values()) / WATCHED_STEPS / 1e3,
        "longest_ms": {name[:100]: microseconds[name] / WATCHED_STEPS / 1e3 for name in longest},
    }
