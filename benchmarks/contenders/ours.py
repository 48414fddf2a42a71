"""cifarzoo: the engine's own steps on the recipe, nothing left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.pace import Pace
from benchmarks.task import TEST_IMAGES, Task
from cifarzoo import config
from cifarzoo.bench.harness import build_harness
from cifarzoo.bench.variants import Variant
from cifarzoo.engine.device.allocator import keep_freed_memory, use_huge_pages
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.loop import advance
from cifarzoo.protocols import Dataset, Split


def train(task: Task, pace: Pace) -> None:
    """Train ``task``'s recipe at its batch size."""
    sets = [f"run.batch_size={task.batch_size}", f"run.precision={task.precision!r}"]
    sets.append(f"run.kernels={task.kernels!r}")
    run = config.load(f"{task.network}.gin", sets=sets).build()
    images, labels = task.load()
    train = Split(images=images, labels=labels)
    # Nothing is tested, but there must be something to test on.
    test = Split(images=images[:TEST_IMAGES], labels=labels[:TEST_IMAGES])
    known = replace(
        run.dataset(folder=None),
        num_train=len(train.labels),
        num_test=len(test.labels),
        load=lambda: (train, test),
    )

    def dataset(folder: Path | None) -> Dataset:  # noqa: ARG001  (the engine offers it)
        return known

    world = World(0, 1, torch.device("cpu"))
    variant = Variant(name="ours", threads=task.threads)
    harness = build_harness(replace(run, dataset=dataset), variant, data=None, world=world)
    keep_freed_memory()  # as a run does before its loop
    use_huge_pages()
    with harness.settings():
        while True:
            advance(harness.training)
            pace.step_done(task.batch_size)
