"""What the last test of a run gives for each image, kept as it is computed, on any number of ranks.

It is read off the pass that the errors are of: there is no second one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.events import EpochEvent, WarningEvent
from cifarzoo.engine.training import Training
from cifarzoo.run_folders.folder import PREDICTIONS
from cifarzoo.run_folders.predictions import Predictions, drop_predictions, keep_predictions

LARGEST = torch.finfo(torch.float16).max
TEST, TTA_TEST = "test", "tta_test"  # as the fields of events


class Recorder:
    """Keeps the logits of one test of this rank's images: every ``world_size``-th.

    Args:
        num_images: Number of images that are tested on, by all ranks.
        num_classes: Number K of classes.
        world_size: Number of ranks.
        device: Device on which they are kept.

    Attributes:
        num_views: Number of views of each image whose logits were averaged.
    """

    def __init__(
        self, num_images: int, num_classes: int, *, world_size: int, device: torch.device
    ) -> None:
        # As many rows on every rank, so that they can be gathered.
        rows = math.ceil(num_images / world_size)
        self._logits = torch.zeros(rows, num_classes, dtype=torch.float16, device=device)
        self._classes = torch.zeros(rows, 2, dtype=torch.int32, device=device)
        self._num_images = num_images
        self._filled = 0
        self.num_views = 1

    def add(self, logits: Tensor, predicted: Tensor, labels: Tensor, *, num_views: int) -> None:
        """Keep what was given for the next images.

        Args:
            logits: Logits (n, K).
            predicted: Classes (n,) of the largest logits, which rounding may make equal to others.
            labels: Classes (n,) of the images.
            num_views: Number of views that the logits are the mean of.
        """
        rows = slice(self._filled, self._filled + len(logits))
        self._logits[rows] = logits.clamp(-LARGEST, LARGEST)
        self._classes[rows] = torch.stack([predicted, labels], 1)
        self._filled += len(logits)
        self.num_views = num_views

    def gathered(self, world: World) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Logits (N, K), predicted classes (N,) and labels (N,) of all ranks, in order."""
        # Of rank r, row i is image i * world_size + r.
        logits, classes = (
            world.gather(mine).transpose(0, 1).flatten(0, 1)[: self._num_images].cpu().numpy()
            for mine in (self._logits, self._classes)
        )
        predicted, labels = classes.T
        return logits, predicted, labels


def recorders(training: Training, *, has_views: bool) -> dict[str, Recorder]:
    """A recorder for each test of the test images, by its name."""
    setup = training.setup
    return {
        name: Recorder(
            setup.plan.test_images,
            len(setup.components.dataset.classes),
            world_size=setup.world.size,
            device=setup.world.device,
        )
        for name in ((TEST, TTA_TEST) if has_views else (TEST,))
    }


def keep_recorded(training: Training, recorded: Mapping[str, Recorder], event: EpochEvent) -> None:
    """Write what the last test gave into the run's folder, which rank 0 does.

    A result is worth more than what is known beside it: where it can't be written the run goes
    on, with a warning.
    """
    # Without a number there will be no result: see ``runner._result``.
    if not all(score.is_finite for score in event.tests.values()):
        return
    found = _predictions(training, recorded)
    session = training.session
    if not training.setup.world.is_main:
        return
    try:
        keep_predictions(session.folder, found)
    except OSError as error:
        session.emit(
            WarningEvent(
                message=f"{session.folder.path / PREDICTIONS} was not written: "
                f"{error.strerror or error}; the result is the same without it"
            )
        )


def spare_predictions(training: Training) -> bool:
    """Take away what the last test gave, where there is no room for the last checkpoint.

    Returns:
        Whether there was any of this attempt.
    """
    session = training.session
    is_done = training.state.step == training.setup.plan.total_steps
    was_there = False
    with suppress(OSError):  # a disk that is read-only by now
        was_there = is_done and drop_predictions(session.folder)
    if was_there:
        path = session.folder.path / PREDICTIONS
        session.emit(WarningEvent(message=f"{path} is taken away, to make room for the checkpoint"))
    return was_there


def _predictions(training: Training, recorded: Mapping[str, Recorder]) -> Predictions:
    logits, predicted, labels = recorded[TEST].gathered(training.setup.world)
    found = Predictions(
        indices=training.data.test_rows.astype(np.int32),
        labels=labels,
        logits=logits,
        predicted=predicted,
    )
    if TTA_TEST not in recorded:
        return found
    tta_logits, tta_predicted, _ = recorded[TTA_TEST].gathered(training.setup.world)
    num_views = recorded[TTA_TEST].num_views
    return replace(found, tta_logits=tta_logits, tta_predicted=tta_predicted, num_views=num_views)
