"""A listener that writes TensorBoard's files of a run, beside its metrics."""

from __future__ import annotations

import math
from pathlib import Path

from tensorboardX import SummaryWriter

from cifarzoo.engine.events import EpochEvent, Event, StepEvent, to_json

SCALARS = {
    "train_loss": "loss/train",
    "test_loss": "loss/test",
    "validation_loss": "loss/validation",
    "test_error": "error/test",
    "validation_error": "error/validation",
    "lr": "lr",
    "images_per_second": "speed/images_per_second",
}
STEP_LOSS = "loss/step"


class TensorBoard:
    """Receives epochs, and some of the steps, and writes their numbers, all counted in steps.

    Args:
        folder: Folder of TensorBoard's files; made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def __call__(self, event: Event) -> None:
        """Take one event of training."""
        if isinstance(event, StepEvent):
            self._open(event.step).add_scalar(STEP_LOSS, event.step_loss, event.step)
        elif isinstance(event, EpochEvent):
            writer, entries = self._open(event.step), to_json(event)
            for name, tag in SCALARS.items():
                if math.isfinite(entries.get(name, math.nan)):  # else it prints a line of its own
                    writer.add_scalar(tag, float(entries[name]), event.step)
            writer.flush()

    def _open(self, step: int) -> SummaryWriter:
        if self._writer is None:
            # What a killed run wrote after its last checkpoint is hidden by the viewer.
            self._writer = SummaryWriter(str(self._folder), purge_step=step)
        return self._writer

    def close(self) -> None:
        """Finish the file, and the thread that writes it."""
        if self._writer is not None:
            self._writer.close()
