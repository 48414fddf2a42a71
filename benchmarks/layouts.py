"""One process of all threads beside a process a core: which layout trains faster on a CPU.

``python -m benchmarks.layouts --data DIR`` prints images/s by wall time of each, in turns, and
writes every sample to ``benchmarks/results/layouts.json``. "Groups" has BatchNorm's statistics
within each process, as smaller groups have; the others share those of the whole batch.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cifarzoo import config
from cifarzoo.bench.harness import build_harness
from cifarzoo.bench.report import origin
from cifarzoo.bench.variants import Variant
from cifarzoo.engine.distributed.launcher import launch
from cifarzoo.engine.distributed.world import joined

RESULTS = Path(__file__).parent / "results" / "layouts.json"
TASKS = (  # recipe, batch size, steps a sample
    ("resnet20.gin", 128, 12),
    ("wrn26_2.gin", 64, 4),
    ("resnet18.gin", 128, 3),
    ("airbench94.gin", 1024, 1),
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a batch is shared out on one host.

    Attributes:
        name: Name, as processes x threads.
        nproc: Number of processes.
        threads: Number of threads of each.
        has_groups: Whether each process has BatchNorm statistics of its own.
    """

    name: str
    nproc: int
    threads: int
    has_groups: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a process of a layout measures."""

    recipe: str
    sets: tuple[str, ...]
    data: Path
    steps: int
    threads: int
    out: Path


def main() -> None:
    """Measure, print and write."""
    options = _options()
    cores = os.cpu_count() or 1
    layouts = (
        Layout(name="1 x 1", nproc=1, threads=1),
        Layout(name=f"1 x {cores}", nproc=1, threads=cores),
        Layout(name=f"{cores} x 1", nproc=cores, threads=1),
        Layout(name=f"{cores} x 1, groups", nproc=cores, threads=1, has_groups=True),
    )
    found: dict[str, Any] = {**origin(), "cores": cores, "rounds": options.rounds, "tasks": {}}
    for recipe, batch_size, steps in TASKS:
        if recipe not in options.recipes:
            continue
        rates: dict[str, list[float]] = {layout.name: [] for layout in layouts}
        for _ in range(options.rounds):
            for layout in layouts:
                rate = _measure(layout, recipe, batch_size, steps, options)
                rates[layout.name].append(rate)
                sys.stderr.write(f"{recipe} {layout.name}: {rate:.1f} images/s\n")
        base = rates[layouts[1].name]
        found["tasks"][recipe] = {
            "batch_size": batch_size,
            "steps": steps,
            "images_per_second": rates,
            f"times {layouts[1].name}": {
                name: statistics.median(a / b for a, b in zip(values, base, strict=True))
                for name, values in rates.items()
            },
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def _measure(
    layout: Layout, recipe: str, batch_size: int, steps: int, options: argparse.Namespace
) -> float:
    sets = [f"run.batch_size={batch_size}", *options.set]
    if layout.has_groups:
        sets.append(f"run.bn_group_size={batch_size // layout.nproc}")
    with TemporaryDirectory() as folder:
        out = Path(folder) / "seconds"
        job = Job(
            recipe=recipe,
            sets=tuple(sets),
            data=options.data,
            steps=steps,
            threads=layout.threads,
            out=out,
        )
        launch(time_steps, job, nproc=layout.nproc)
        return steps * batch_size / float(out.read_text())


def time_steps(job: Job) -> None:
    """Train some steps as one of the ranks; rank 0 writes the seconds they took."""
    with joined({}) as world:
        run = config.load(job.recipe, sets=list(job.sets)).build()
        variant = Variant(name="", threads=job.threads)
        harness = build_harness(run, variant, data=job.data, world=world)
        work = harness.train(job.steps)
        work()  # warms up
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        if world.is_main:
            job.out.write_text(str(seconds))


def _options() -> argparse.Namespace:
    names = [recipe for recipe, *_ in TASKS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layouts")
    parser.add_argument("--data", type=Path, required=True, help="where CIFAR-10 lies")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each layout")
    parser.add_argument("--recipes", nargs="+", choices=names, default=names)
    parser.add_argument("--set", "-s", action="append", default=[], help="of the run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
