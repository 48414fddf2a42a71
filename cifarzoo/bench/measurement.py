"""A benchmark: variants of a recipe in turns, and the machine's own rates among them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cifarzoo.bench.harness import Harness, build_harness, read_once
from cifarzoo.bench.machine import Arithmetic, convolution, matmul
from cifarzoo.bench.timing import Job, Sample, Work, interleave
from cifarzoo.bench.variants import Variant
from cifarzoo.components.protocols import DatasetFactory
from cifarzoo.engine.distributed.world import World, init_distributed
from cifarzoo.errors import UsageError

if TYPE_CHECKING:
    from cifarzoo.config import Config

SAMPLE_SECONDS = 1.0  # of training, unless steps are given
MOST_STEPS = 50
TRAINING, BATCHES, EVALUATION = "training", "batches", "evaluation"
MATMUL, CONVOLUTION = "matmul", "convolution"
Key: TypeAlias = tuple[Variant | Arithmetic, str]


@dataclass(frozen=True)
class Case:
    """A variant and its config."""

    variant: Variant
    config: Config


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured.

    Attributes:
        cases: Cases that were measured; the others are compared with the first.
        harnesses: Harness of each case; a bare case has its engine's.
        samples: Samples by (variant or arithmetic, work that was done).
        rounds: Number of samples of each.
        steps: Optimizer steps in a sample of training.
        device: Name of the device, such as ``cpu``.
        load_before: Load averages of the machine before the first sample.
        load_after: Load averages after the last one, the benchmark itself included.
    """

    cases: Sequence[Case]
    harnesses: Sequence[Harness]
    samples: Mapping[Key, Sequence[Sample]]
    rounds: int
    steps: int
    device: str
    load_before: list[float] | None
    load_after: list[float] | None


def measure(
    cases: Sequence[Case],
    *,
    data: Path | None,
    rounds: int,
    steps: int | None,
    emit: Callable[[str], None],
) -> Measured:
    """Measure ``cases`` in turns.

    Args:
        cases: Cases to measure, at least one.
        data: Folder with datasets, or None.
        rounds: Number of samples of each.
        steps: Optimizer steps a sample; None: about a second of the first case.
        emit: Callback that receives a line of progress.

    Raises:
        UsageError: Several processes, or more steps than the run has.
        ConfigError: What training would refuse.
        DataError: The dataset can't be read.
    """
    with init_distributed() as world:
        if world.size > 1:
            raise UsageError(f"bench measures one process; it was started as {world.size}")
        before = load_average()
        harnesses = _harnesses(cases, data=data, world=world, emit=emit)
        steps = _steps(steps, harnesses)
        samples = interleave(
            _jobs(cases, harnesses, steps), rounds=rounds, device=world.device, emit=emit
        )
    return Measured(
        cases=cases,
        harnesses=harnesses,
        samples=samples,
        rounds=rounds,
        steps=steps,
        device=str(world.device),
        load_before=before,
        load_after=load_average(),
    )


def _harnesses(
    cases: Sequence[Case], *, data: Path | None, world: World, emit: Callable[[str], None]
) -> list[Harness]:
    """A harness for each case; a bare loop has the network of its engine, bit for bit."""
    made: dict[Variant, Harness] = {}
    datasets: dict[str, DatasetFactory] = {}
    for case in cases:
        engine = case.variant.engine
        if engine in made:
            continue
        with case.config.locating():
            run = case.config.build()
            emit(f"first steps of {case.variant.name}")
            dataset = datasets.setdefault(repr(run.dataset), read_once(run.dataset))
            run = replace(run, dataset=dataset)
            made[engine] = build_harness(run, engine, data=data, world=world)
    return [made[case.variant.engine] for case in cases]


def _steps(asked: int | None, harnesses: Sequence[Harness]) -> int:
    most = min(harness.training.setup.plan.total_steps for harness in harnesses)
    if asked is None:
        return min(most, MOST_STEPS, math.ceil(SAMPLE_SECONDS / harnesses[0].step_seconds))
    if asked > most:
        raise UsageError(f"--steps is {asked}; expected at most the {most} steps of the run")
    return asked


def _jobs(cases: Sequence[Case], harnesses: Sequence[Harness], steps: int) -> dict[Key, Job]:
    """What a round does: all trainings, then the machine's rates, all batches, all tests."""
    rows = [(case.variant, harness) for case, harness in zip(cases, harnesses, strict=True)]
    jobs: dict[Key, Job] = {}
    for variant, harness in rows:
        train = harness.train_bare if variant.is_bare else harness.train
        jobs[variant, TRAINING] = partial(train, steps)
    for arithmetic, harness in {harness.arithmetic: harness for harness in harnesses}.items():
        jobs[arithmetic, MATMUL] = _within(harness, matmul(arithmetic, harness.device))
        jobs[arithmetic, CONVOLUTION] = _within(harness, convolution(arithmetic, harness.device))
    for variant, harness in rows:
        if not variant.is_bare:
            jobs[variant, BATCHES] = partial(harness.make_batches, steps)
            jobs[variant, EVALUATION] = partial(harness.evaluate, steps)
    return jobs


def _within(harness: Harness, job: Job) -> Job:
    """``job`` with the threads and switches of ``harness``."""

    def ready() -> Work:
        with harness.settings():
            work = job()

        def in_its_settings() -> float:
            with harness.settings():
                return work()

        return in_its_settings

    return ready


def load_average() -> list[float] | None:
    """Programs that ran or wanted to, over 1, 5 and 15 minutes; None where it isn't known."""
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None
