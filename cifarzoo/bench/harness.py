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

from cifarzoo.bench.machine import Arithmetic
from cifarzoo.bench.timing import Work, timed
from cifarzoo.bench.variants import Variant
from cifarzoo.components.protocols import Dataset, DatasetFactory
from cifarzoo.components.run import Run
from cifarzoo.data.store import ImageStore
from cifarzoo.engine.assembly.build import make
from cifarzoo.engine.device.precision import choose, numerics
from cifarzoo.engine.distributed.signals import StopRequest
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.events import ignore_event
from cifarzoo.engine.loop import advance, score
from cifarzoo.engine.step import micro_batches
from cifarzoo.engine.step_draws import StepDraws
from cifarzoo.engine.training import Training, prepare
from cifarzoo.runs.folder import RunFolder

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
        return self.training.world.device

    @property
    def arithmetic(self) -> Arithmetic:
        """What the machine's rates are measured with."""
        return Arithmetic(self.training.policy.name, self.training.policy.threads)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """While its parts are called: threads and torch's switches are its own."""
        with _settings(self.training):
            yield

    def train(self, steps: int) -> Work:
        """Optimizer steps by the engine; gives images."""
        self._make_room(steps)
        return partial(self._repeat, steps, lambda _: advance(self.training))

    def train_bare(self, steps: int) -> Work:
        """As many forward and backward passes and updates, on batches that are there already.

        Branches keep the gates of the engine's last step.
        """
        self._make_room(steps)
        training, first = self.training, self.training.state.step
        with self.settings():
            batches = [training.batches(first + index) for index in range(steps)]
            StepDraws(training).feed(micro_batches(training.plan)[0])
        return partial(self._repeat, steps, lambda index: bare_step(training, *batches[index]))

    def make_batches(self, steps: int) -> Work:
        """Training batches alone; gives images."""
        batch_size, total = self.training.plan.batch_size, self.training.plan.total_steps
        count = max(steps, -(-BATCH_IMAGES // batch_size))
        first = self.training.state.step
        return partial(
            self._repeat, count, lambda index: self.training.batches((first + index) % total)
        )

    def evaluate(self, steps: int) -> Work:
        """A test on as many images as ``steps`` batches have, if there are so many."""
        _, split = self.training.components.dataset.load()
        images = min(steps * self.training.plan.batch_size, len(split.labels))
        store = ImageStore(
            split,
            num_classes=len(self.training.components.dataset.classes),
            device=self.device,
            chosen=np.arange(images),
        )

        def work() -> float:
            with self.settings():
                score(self.training, store)
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
        return count * self.training.plan.batch_size

    def _make_room(self, steps: int) -> None:
        """Start anew where the run would end."""
        if self.training.state.step + steps > self.training.plan.total_steps:
            self.training.state.step = 0


def bare_step(training: Training, images: Tensor, targets: Tensor) -> None:
    """Forward, loss, backward and update, as the shortest of loops has them."""
    state, plan = training.state, training.plan

    def closure() -> Tensor:
        state.optimizer.zero_grad(set_to_none=True)
        for rows in micro_batches(plan):
            logits = state.scaler.forward(training.parallel, images[rows])
            loss = training.components.loss(logits, targets[rows]).mean() / plan.num_micro_batches
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
    training = prepare(
        run,
        data=data,
        world=world,
        policy=replace(
            policy,
            channels_last=variant.channels_last,
            threads=variant.threads or policy.threads,
        ),
        folder=RunFolder(Path("not-written")),
        facts={},
        stop=StopRequest(),
        emit=ignore_event,
    )
    if not variant.channels_last:
        training.state.model.register_forward_pre_hook(_as_nchw)
    training.parallel.train()
    training.clock.start()
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
    with _settings(training), FlopCounterMode(display=False) as counter:
        advance(training)
    return float(counter.get_total_flops()) / training.plan.batch_size


def _first_step(training: Training) -> float:
    def work() -> float:
        if training.state.step == training.plan.total_steps:
            training.state.step = 0
        with _settings(training):
            advance(training)
        return 1

    _, seconds, _ = timed(work, training.world.device)
    return seconds


@contextmanager
def _settings(training: Training) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(training.policy.threads)
    try:
        with numerics(training.policy, strict=bool(training.run.deterministic)):
            yield
    finally:
        torch.set_num_threads(before)


def _as_nchw(_model: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    return (args[0].contiguous(),)
