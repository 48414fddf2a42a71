"""Whether captured steps give what steps give, on a CPU that replays as a GPU does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.failures import unfit
from cifarzoo.engine.assembly.optimizer_trial import OptimizerTrial
from cifarzoo.engine.device.kernels import TORCH
from cifarzoo.engine.device.precision import choose, numerics
from cifarzoo.engine.distributed.world import World, pick_device
from cifarzoo.engine.events import Event
from cifarzoo.engine.loop import advance
from cifarzoo.engine.step_graph import WARM_UP_STEPS, StepGraph
from cifarzoo.engine.training import prepare, unwritten_training
from cifarzoo.layers.dropout import Dropout
from cifarzoo.testing.recorded_graph import RecorderOnCpu
from cifarzoo.testing.subject import Subject

STEPS = WARM_UP_STEPS + 3  # of which the last three are replays


def check_capture(subject: Subject, folder: Path) -> None:  # noqa: ARG001  # nothing is written
    """Replay steps with a component that says that this can be, and compare.

    Raises:
        CifarzooError: They end elsewhere, or can't be captured.
    """
    run = subject.config(epochs=3, max_steps=STEPS + 1).build()
    with torchs_dropout():
        captured = Steps(run, data=subject.data, recorder=RecorderOnCpu())
        weights = captured.after(STEPS)
        if not captured.num_replays:
            return
        others = Steps(run, data=subject.data).after(STEPS)
    apart = [name for name, tensor in weights.items() if not same(tensor, others[name])]
    if apart:
        raise unfit(
            subject.name,
            f"gives other numbers where steps are captured once and replayed, first in {apart[0]}; "
            "what changes from step to step has to be in tensors that are changed in place, since "
            "a graph keeps every number of Python's as it was; or leave capturable = True out",
        )


@dataclass
class Steps:
    """The steps of a run on one CPU, with torch's kernels.

    Args:
        run: Run that is trained.
        data: Folder of the data, or None.
        recorder: What captures steps; None: they aren't captured.
        tried: What is known of the optimizer; None: it is tried.
        delay: Steps after which a step's loss is read, as on a GPU.

    Attributes:
        events: What was said.
    """

    run: Run
    data: Path | None = None
    recorder: RecorderOnCpu | None = None
    tried: OptimizerTrial | None = None
    delay: int = 0
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Prepare the training, which has done nothing yet."""
        policy = choose(self.run, torch.device("cpu"))
        policy = replace(policy, kernels=TORCH, delay=self.delay)
        world = World(0, 1, pick_device(0))
        with numerics(policy, strict=True):
            setup, data, state = prepare(
                self.run, folder=self.data, world=world, policy=policy, tried=self.tried
            )
        graph = StepGraph(self.recorder, self.events.append)
        self.training = unwritten_training(setup, data, state, graph)

    @property
    def num_replays(self) -> int:
        """How many steps were replayed."""
        return self.recorder.num_replays if self.recorder else 0

    def after(self, steps: int) -> dict[str, Tensor]:
        """Copies of weights, buffers and the optimizer's tensors after so many more steps."""
        with numerics(self.training.setup.policy, strict=True):
            for _ in range(steps):
                advance(self.training)
        state = self.training.state
        found = dict(state.model.state_dict())
        for index, kept in state.optimizer.state_dict()["state"].items():
            found |= {f"{index}.{name}": value for name, value in kept.items()}
        return {name: value.clone() for name, value in found.items() if isinstance(value, Tensor)}


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same bits; numbers that aren't are alike."""
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


@contextmanager
def torchs_dropout() -> Iterator[None]:
    """Within ``with``, masks and noise are torch's on a CPU too, as they are on a GPU."""
    before = Dropout.counts_masks
    Dropout.counts_masks = lambda _layer, _x: False  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Dropout.counts_masks = before  # type: ignore[method-assign]
