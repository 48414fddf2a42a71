"""A training that is set up to be measured: the engine's own, whose parts are called one by one.

Nothing is written: the run's folder is only named, and the loop's saves aren't called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cifarzoo.api.teachers import open_teacher
from cifarzoo.bench.machine import Arithmetic
from cifarzoo.bench.timing import Work, timed
from cifarzoo.bench.variants import Variant
from cifarzoo.components.protocols import Dataset, DatasetFactory
from cifarzoo.components.run import Run
from cifarzoo.data.store import ImageStore
from cifarzoo.engine.assembly.build import make
from cifarzoo.engine.device.compiling import uncompiled
from cifarzoo.engine.device.precision import choose, numerics
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.evaluation import score
from cifarzoo.engine.events import ignore_event
from cifarzoo.engine.loop import advance
from cifarzoo.engine.objective import step_loss
from cifarzoo.engine.step import micro_batches
from cifarzoo.engine.step_draws import StepDraws
from cifarzoo.engine.step_graph import step_graph
from cifarzoo.engine.teachers import give_teachers
from cifarzoo.engine.training import Training, prepare, unwritten_training

WARM_UP_STEPS = 2
BATCH_IMAGES = 8192  # at least, in a sample of the batches alone: they take microseconds an image


@dataclass(frozen=True, kw_only=True)
class Harness:
    """A training that is measured.

    Attributes:
        training: Training as the engine prepared it.
        flops: Number of floating-point operations of an image in a training step.
        warm_up_seconds: Time of the first steps, compilation included.
        step_seconds: Time of the last of the first steps.
    """

    training: Training
    flops: float
    warm_up_seconds: float
    step_seconds: float

    @property
    def device(self) -> torch.device:
        """Where it trains."""
        return self.training.setup.world.device

    @property
    def arithmetic(self) -> Arithmetic:
        """What the machine's rates are measured with."""
        return Arithmetic(self.training.setup.policy.name, self.training.setup.policy.threads)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """While its parts are called: threads and torch's switches are its own."""
        with _settings(self.training):
            yield

    def train(self, steps: int) -> Work:
        """Work of so many optimizer steps by the engine, counted in images."""
        self._make_room(steps)
        return partial(self._repeat, steps, lambda _: advance(self.training))

    def train_bare(self, steps: int) -> Work:
        """As many forward and backward passes and updates, on batches that are there already.

        Branches keep the gates of the engine's last step.
        """
        self._make_room(steps)
        training, first = self.training, self.training.state.step
        with self.settings():
            batches = [training.data.batches(first + index) for index in range(steps)]
            draws = StepDraws(training.setup, training.state)
            draws.feed(micro_batches(training.setup.plan)[0])
        return partial(self._repeat, steps, lambda index: bare_step(training, *batches[index]))

    def make_batches(self, steps: int) -> Work:
        """Work of making training batches alone, counted in images."""
        plan, batches = self.training.setup.plan, self.training.data.batches
        count = max(steps, -(-BATCH_IMAGES // plan.batch_size))
        first, total = self.training.state.step, plan.total_steps
        return partial(self._repeat, count, lambda index: batches((first + index) % total))

    def evaluate(self, steps: int) -> Work:
        """A test on as many images as ``steps`` batches have, if there are so many."""
        setup, state = self.training.setup, self.training.state
        _, split = setup.components.dataset.load()
        images = min(steps * setup.plan.batch_size, len(split.labels))
        store = ImageStore(
            split,
            num_classes=len(setup.components.dataset.classes),
            device=self.device,
            chosen=np.arange(images),
        )

        def work() -> float:
            with self.settings():
                score(setup, state.evaluated, state.scaler, store)
            return images

        return work

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers of the network, on the CPU in float64."""
        state = self.training.state.model.state_dict()
        return {name: tensor.to("cpu", torch.float64) for name, tensor in state.items()}

    def _repeat(self, count: int, step: Callable[[int], object]) -> float:
        with self.settings():
            for index in range(count):
                step(index)
        return count * self.training.setup.plan.batch_size

    def _make_room(self, steps: int) -> None:
        """Start anew where the run would end."""
        if self.training.state.step + steps > self.training.setup.plan.total_steps:
            self.training.state.progress.step = 0


def bare_step(training: Training, images: Tensor, targets: Tensor) -> None:
    """Forward, loss, backward and update, as the shortest of loops has them."""
    setup, state = training.setup, training.state
    parts = setup.plan.num_micro_batches
    objective = step_loss(setup.components, targets, world=setup.world, num_parts=parts)

    def closure() -> Tensor:
        state.optimizer.zero_grad(set_to_none=True)
        for rows in micro_batches(setup.plan):
            logits = state.scaler.forward(state.parallel, images[rows])
            loss = objective.part(logits, targets[rows], None, rows)
            state.scaler.backward(loss)
        return loss

    state.scaler.step(state.optimizer, closure)


def build_harness(run: Run, variant: Variant, *, data: Path | None, world: World) -> Harness:
    """Prepare a training, count its operations and take its first steps.

    Args:
        run: Run to prepare, with the variant's settings.
        variant: Variant, for its threads and its memory layout.
        data: Folder with datasets, or None.
        world: One process and its device.

    Raises:
        ConfigError: What ``prepare`` refuses.
        DataError: The dataset can't be read.
    """
    policy = choose(run, world.device)
    policy = replace(
        policy,
        channels_last=policy.channels_last and variant.channels_last,
        threads=variant.threads or policy.threads,
    )
    setup, images, state = prepare(run, folder=data, world=world, policy=policy)
    give_teachers(setup, open_teacher)
    training = unwritten_training(setup, images, state, step_graph(setup, ignore_event))
    if not variant.channels_last:
        state.model.register_forward_pre_hook(_as_nchw)
    flops = _count_flops(training)
    seconds = [_first_step(training) for _ in range(WARM_UP_STEPS)]
    return Harness(
        training=training,
        flops=flops,
        warm_up_seconds=sum(seconds),
        step_seconds=seconds[-1],
    )


def read_once(factory: DatasetFactory) -> DatasetFactory:
    """A dataset that is read from its files once, however often it is made and loaded."""

    @cache
    def dataset(folder: Path | None) -> Dataset:
        made = make(factory, folder=folder)
        return replace(made, load=cache(made.load))

    return dataset


def _count_flops(training: Training) -> float:
    # Compiling under the counter fails; torch 2.11 then leaves the network eager for good.
    is_compiled = training.setup.policy.compile
    counter = FlopCounterMode(display=False)
    with _settings(training), uncompiled(active=is_compiled), counter:
        advance(training)
    return float(counter.get_total_flops()) / training.setup.plan.batch_size


def _first_step(training: Training) -> float:
    def work() -> float:
        if training.state.step == training.setup.plan.total_steps:
            training.state.progress.step = 0
        with _settings(training):
            advance(training)
        return 1

    _, seconds, _ = timed(work, training.setup.world.device)
    return seconds


@contextmanager
def _settings(training: Training) -> Iterator[None]:
    before = torch.get_num_threads()
    policy = training.setup.policy
    torch.set_num_threads(policy.threads)
    try:
        with numerics(policy, strict=bool(training.setup.run.deterministic)):
            yield
    finally:
        torch.set_num_threads(before)


def _as_nchw(_model: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    return (args[0].contiguous(),)
