"""TensorBoard events of a run, beside its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

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
    """Hears epochs, and some of the steps, and writes their numbers, all counted in steps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def __call__(self, event: dict[str, Any]) -> None:
        """Take one event of training."""
        if event["event"] == "step":
            self._open(event).add_scalar(STEP_LOSS, event["step_loss"], event["step"])
        elif event["event"] == "epoch":
            writer = self._open(event)
            for name, tag in SCALARS.items():
                if event.get(name) is not None:
                    writer.add_scalar(tag, float(event[name]), event["step"])
            writer.flush()

    def _open(self, event: dict[str, Any]) -> SummaryWriter:
        if self._writer is None:
            # What a killed run wrote after its last checkpoint is hidden by the viewer.
            self._writer = SummaryWriter(str(self._folder), purge_step=event["step"])
        return self._writer

    def close(self) -> None:
        """Finish the file, and the thread that writes it."""
        if self._writer is not None:
            self._writer.close()
