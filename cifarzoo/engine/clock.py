"""Wall time: how fast training goes, when to report and when to save. Changes no number."""

from __future__ import annotations

import time

from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.plan import Plan
from cifarzoo.engine.events import Speed, StepEvent
from cifarzoo.engine.state import Progress, TrainingState

SECONDS_BETWEEN_EVENTS = 0.25


class Clock:
    """Measures the steps of one attempt at a run; tests and saves are not counted.

    Args:
        run: The run, which says when checkpoints are due.
        plan: Sizes of the run.
    """

    def __init__(self, run: Run, plan: Plan) -> None:
        self._run = run
        self._plan = plan
        self._saved = self._reported = time.monotonic()
        self._since: float | None = None
        self._steps = 0  # of this epoch and attempt
        self._seconds = 0.0
        self._is_first = True

    def start(self) -> None:
        """Count from here on: training starts, or goes on after a pause."""
        self._since = time.monotonic()

    def pause(self, progress: Progress) -> None:
        """Stop counting, for a test or a save, and add what has passed to ``progress``."""
        if self._since is not None:
            passed = time.monotonic() - self._since
            self._seconds += passed
            progress.train_seconds += passed
            self._since = None

    def count_step(self) -> None:
        """Count the step just done."""
        self._steps += 1

    def first_step_seconds(self) -> float | None:
        """Seconds of this attempt's first step, right after it; later None."""
        is_first, self._is_first = self._is_first, False
        if is_first and self._since is not None:
            return time.monotonic() - self._since
        return None

    def end_epoch(self) -> Speed:
        """How fast this epoch's steps were; starts the next."""
        speed = Speed(
            images_per_second=self._images_per_second(self._seconds), seconds=self._seconds
        )
        self._steps, self._seconds = 0, 0.0
        return speed

    def step_event(self, state: TrainingState) -> StepEvent | None:
        """What to report of the step just done, a few times a second."""
        now = time.monotonic()
        if now - self._reported < SECONDS_BETWEEN_EVENTS or self._since is None:
            return None
        self._reported = now
        speed = self._images_per_second(self._seconds + now - self._since)
        left = (self._plan.total_steps - state.step) * self._plan.batch_size
        return StepEvent(
            step=state.step,
            steps=self._plan.total_steps,
            epoch=state.step / self._plan.steps_per_epoch,
            loss=state.progress.mean_loss,
            step_loss=state.last_loss,
            lr=state.rate,
            images_per_second=speed,
            eta_seconds=left / speed if speed else None,
        )

    def is_due_by_step(self, step: int) -> bool:
        """Whether a checkpoint is due after ``step`` steps, as every rank knows."""
        every = self._run.checkpoint_steps
        return every is not None and step % every == 0

    def is_due_by_time(self) -> bool:
        """Whether a checkpoint is due by this rank's own clock."""
        return time.monotonic() - self._saved >= self._run.checkpoint_seconds

    def saved(self) -> None:
        """Wait for the next checkpoint from here on, whether this one could be written or not."""
        self._saved = time.monotonic()

    def _images_per_second(self, seconds: float) -> float:
        return self._steps * self._plan.batch_size / seconds if seconds else 0.0
