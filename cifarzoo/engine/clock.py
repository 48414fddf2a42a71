"""Wall time: how fast training goes, when to report and when to save. Changes no number."""

from __future__ import annotations

import time

from cifarzoo.components.run import Run
from cifarzoo.engine.events import Event
from cifarzoo.engine.state import TrainingState

SECONDS_BETWEEN_EVENTS = 0.25


class Clock:
    """Measures the steps of one attempt at a run; tests and saves are not counted.

    Args:
        run: Says when checkpoints are due.
        total_steps: Optimizer steps in the run.
        steps_per_epoch: Optimizer steps in an epoch.
    """

    def __init__(self, run: Run, *, total_steps: int, steps_per_epoch: int) -> None:
        self._run = run
        self._total_steps = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._saved = self._reported = time.monotonic()
        self._since: float | None = None
        self._steps = 0  # of this epoch and attempt
        self._seconds = 0.0

    def start(self) -> None:
        """Training starts, or goes on after a pause."""
        self._since = time.monotonic()

    def pause(self, state: TrainingState) -> None:
        """Training pauses for a test or a save."""
        if self._since is not None:
            passed = time.monotonic() - self._since
            self._seconds += passed
            state.train_seconds += passed
            self._since = None

    def count_step(self) -> None:
        """A step was done."""
        self._steps += 1

    def end_epoch(self) -> tuple[float, float]:
        """Seconds of this epoch's steps, and images a second; starts the next."""
        result = self._seconds, self._images_per_second(self._seconds)
        self._steps, self._seconds = 0, 0.0
        return result

    def step_event(self, state: TrainingState) -> Event | None:
        """What to tell about the step just done, a few times a second."""
        now = time.monotonic()
        if now - self._reported < SECONDS_BETWEEN_EVENTS or self._since is None:
            return None
        self._reported = now
        speed = self._images_per_second(self._seconds + now - self._since)
        left = (self._total_steps - state.step) * self._run.batch_size
        return {
            "event": "step",
            "step": state.step,
            "steps": self._total_steps,
            "epoch": state.step / self._steps_per_epoch,
            "loss": state.loss_sum / max(1, state.loss_steps),
            "step_loss": state.last_loss,
            "lr": state.rate,
            "images_per_second": speed,
            "eta_seconds": left / speed if speed else None,
        }

    def is_due_by_step(self, step: int) -> bool:
        """Whether a checkpoint is due after ``step`` steps, as every rank knows."""
        every = self._run.checkpoint_steps
        return every is not None and step % every == 0

    def is_due_by_time(self) -> bool:
        """Whether a checkpoint is due by this rank's own clock."""
        return time.monotonic() - self._saved >= self._run.checkpoint_seconds

    def saved(self) -> None:
        """A checkpoint was written, or could not be."""
        self._saved = time.monotonic()

    def _images_per_second(self, seconds: float) -> float:
        return self._steps * self._run.batch_size / seconds if seconds else 0.0
