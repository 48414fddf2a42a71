"""Steps that are captured once and then replayed: the host starts one graph, not every kernel.

The first steps run kernel by kernel, and so do those after whatever changes the graph: another
size of images, parameters that begin or cease to be trained. They read their numbers from the
same memory as the replayed ones, and give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from cifarzoo.engine.capturable import obstacle
from cifarzoo.engine.device.cuda_graph import CudaRecorder
from cifarzoo.engine.distributed.step_exchange import StepInfo, StepReport
from cifarzoo.engine.events import Listener, WarningEvent
from cifarzoo.engine.state import TrainingState
from cifarzoo.engine.step import Note, Submit, train_step
from cifarzoo.engine.step_draws import StepDraws
from cifarzoo.engine.step_numbers import Drawn, StepNumbers, draw
from cifarzoo.engine.training import Setup
from cifarzoo.errors import ConfigError, in_one_line

WARM_UP_STEPS = 3  # kernels are chosen in them, and the optimizer makes its state


class Recorder(Protocol):
    """What captures work: see ``CudaRecorder``."""

    def warming(self) -> AbstractContextManager[None]:
        """Within it, work runs that will be captured."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture work; what is given computes it."""


@dataclass(frozen=True, kw_only=True)
class _Captured:
    """A step that can be replayed, and the memory that it reads and writes."""

    images: Tensor
    targets: Tensor
    loss: Tensor
    norm: Tensor
    replay: Callable[[], None]


class StepGraph:
    """Takes a run's steps, by replaying one where it can.

    Args:
        recorder: What captures; None: nothing is captured.
        emit: Receives a line where steps can't be captured.
    """

    def __init__(self, recorder: Recorder | None, emit: Listener) -> None:
        self._recorder = recorder
        self._emit = emit
        self._numbers: StepNumbers | None = None
        self._kind: Any = None
        self._warm_up_left = 0
        self._captured: _Captured | None = None

    def train_step(
        self,
        setup: Setup,
        state: TrainingState,
        images: Tensor,
        targets: Tensor,
        *,
        submit: Submit,
        note: Note | None = None,
    ) -> list[StepReport]:
        """As ``train_step``; what isn't finite is known only after the update."""
        recorder = self._usable(setup, state)
        if recorder is None:
            return train_step(setup, state, images, targets, submit=submit, note=note)
        drawn = draw(setup, state)
        numbers = self._numbers_like(drawn, setup, state)
        numbers.load(drawn, state.rates)
        draws = StepDraws(setup, state, drawn=drawn, numbers=numbers)
        kind = (images.shape, targets.shape, setup.plan, state.trained)
        if kind != self._kind:
            self._kind, self._warm_up_left, self._captured = kind, WARM_UP_STEPS, None
        if self._warm_up_left:
            self._warm_up_left -= 1
            with recorder.warming():
                return train_step(setup, state, images, targets, submit=submit, draws=draws)
        if self._captured is None:
            self._captured = _capture(
                recorder, setup, state, images, targets, drawn=drawn, numbers=numbers
            )
        captured = self._captured
        captured.images.copy_(images)
        captured.targets.copy_(targets)
        draws.begin_pass()  # a graph that draws does so from where torch's generator stands
        captured.replay()
        return submit(StepInfo(number=state.step, rate=state.rate), captured.loss, captured.norm)

    def _numbers_like(self, drawn: Drawn, setup: Setup, state: TrainingState) -> StepNumbers:
        """Memory for what was drawn, and for the rates: the same from step to step."""
        if self._numbers is None or self._numbers.shapes != drawn.shapes:
            self._numbers = StepNumbers(
                drawn.shapes,
                num_rates=len(state.base_rates),
                dtype=setup.policy.weights,
                device=setup.world.device,
            )
            state.hold_rates(self._numbers.rates)
        return self._numbers

    def _usable(self, setup: Setup, state: TrainingState) -> Recorder | None:
        """The recorder, as long as nothing stands against capturing."""
        if self._recorder is not None and self._numbers is None:
            reason = obstacle(setup, state)
            if reason is not None:
                self._recorder = None
                message = f"run.cuda_graph: steps are not captured, since {reason}"
                self._emit(WarningEvent(message=message))
        return self._recorder


def step_graph(setup: Setup, emit: Listener) -> StepGraph:
    """What takes the steps of a run.

    Args:
        setup: Run, sizes, components, arithmetic and ranks.
        emit: Receives a line where ``run.cuda_graph`` asks for what can't be had.
    """
    if setup.policy.captured:
        return StepGraph(CudaRecorder(setup.world.device), emit)
    if setup.run.cuda_graph:
        emit(WarningEvent(message="run.cuda_graph: steps are not captured, since there is no GPU"))
    return StepGraph(None, emit)


def _capture(
    recorder: Recorder,
    setup: Setup,
    state: TrainingState,
    images: Tensor,
    targets: Tensor,
    *,
    drawn: Drawn,
    numbers: StepNumbers,
) -> _Captured:
    """Capture a step on memory of its own; nothing is computed."""
    images, targets = images.clone(), targets.clone()
    draws = StepDraws(setup, state, drawn=drawn, numbers=numbers, reseeds=False)
    results: list[Tensor] = []

    def keep(_step: StepInfo, loss: Tensor, norm: Tensor) -> list[StepReport]:
        results.extend((loss, norm))
        return []

    def work() -> None:
        train_step(setup, state, images, targets, submit=keep, draws=draws)

    try:
        replay = recorder.record(work)
    except RuntimeError as error:
        raise ConfigError(
            f"is True, and a step can't be captured: {in_one_line(error)[:200]}; expected False",
            parameter="cuda_graph",
        ) from error
    loss, norm = results
    return _Captured(images=images, targets=targets, loss=loss, norm=norm, replay=replay)
