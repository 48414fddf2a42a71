"""A listener that writes TensorBoard's files of a run, beside its metrics."""

from __future__ import annotations

import math
import os
import re
from itertools import count
from pathlib import Path
from typing import BinaryIO

from tensorboardX import SummaryWriter
from tensorboardX.record_writer import register_writer_factory

from cifarzoo.engine.events import EpochEvent, Event, StepEvent, to_json
from cifarzoo.files.real_folder import RealFolder

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
WITHOUT_HOST = re.compile(r"(?<=\.tfevents\.\d{10}).*")
SAFELY = "cifarzoo"  # before a path: tensorboardX opens its files as we say


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
            self._writer = SummaryWriter(f"{SAFELY}:{self._folder}", purge_step=step)
        return self._writer

    def close(self) -> None:
        """Finish the file, and the thread that writes it."""
        if self._writer is not None:
            self._writer.close()


class _SafeFiles:
    """Opens TensorBoard's files in a run's folder, without following links."""

    def directory_check(self, path: str) -> None:
        """Make the folder of the files."""
        with _real(Path(path)).held(make=True):
            pass

    def open(self, path: str) -> BinaryIO:
        """A new file; another one of the same second gets a number.

        tensorboardX ends its name with the host's, which is nobody's business.
        """
        folder, name = _real(Path(path).parent), WITHOUT_HOST.sub("", Path(path).name)
        number = next(i for i in count() if not folder.kind(f"{name}.{i}" if i else name))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        return os.fdopen(folder.open(f"{name}.{number}" if number else name, flags), "wb")


def _real(given: Path) -> RealFolder:
    path = Path(str(given).removeprefix(f"{SAFELY}:"))
    return RealFolder(path.parent).below(path.name)


register_writer_factory(SAFELY, _SafeFiles())
