"""The ``selection`` stage: which images of a batch a regularizer has a step train on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from cifarzoo.components.protocols import Timestamp
from cifarzoo.components.regularizers import Regularizer, acting_in
from cifarzoo.engine.assembly.failures import failed, unfit
from cifarzoo.engine.assembly.plan import Plan
from cifarzoo.errors import CifarzooError, ConfigError
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator

TRIED = 50  # points of training


class Selector:
    """The regularizer of a run that selects images.

    Args:
        regularizers: Those of the run, by name; one of them has the stage.
        seed: Seed of the run.
        plan: Sizes of the run.

    Raises:
        ConfigError: Several have it.
    """

    def __init__(self, regularizers: Mapping[str, Regularizer], *, seed: int, plan: Plan) -> None:
        self._name, *others = acting_in("selection", regularizers)
        if others:
            raise unfit(others[0], f"selects images, and so does {self._name}; expected one")
        self._regularizer = regularizers[self._name]
        self._seed, self._plan = seed, plan

    def rows(self, losses: Tensor, step: int) -> tuple[Tensor | None, Plan]:
        """The places that are selected in a step, None being all, and the sizes of that step.

        Args:
            losses: Last losses of the batch's images (N,), infinite where there is none.
            step: Number of the step.

        Raises:
            ConfigError: The regularizer fails, or selects what is no part of the batch, or what
                ranks, passes and BatchNorm's groups can't share equally.
        """
        timestamp = self._plan.timestamp(step)
        rows = self._asked(losses, timestamp)
        if rows is None:
            return None, self._plan
        try:
            return rows, self._plan.of_fewer(len(rows))
        except ConfigError as error:
            raise unfit(self._name, error.problem) from error

    def check(self) -> None:
        """Ask for images of a first batch, at many points of training.

        Raises:
            ConfigError: See ``rows``.
        """
        losses, last = torch.full((self._plan.batch_size,), torch.inf), self._plan.total_steps - 1
        for step in {*range(0, last, max(1, last // TRIED)), last}:
            self.rows(losses, step)

    def _asked(self, losses: Tensor, timestamp: Timestamp) -> Tensor | None:
        count, epoch = len(losses), int(timestamp.epoch)
        rng = generator(self._seed, self._name, "selection", epoch, timestamp.step)
        when = f"in the selection stage, on {count} losses"
        try:
            rows = self._regularizer.selection(
                losses, BatchDraws(rng, count, epoch=epoch), timestamp
            )
        except CifarzooError:
            raise
        except Exception as error:
            raise failed(self._name, when, error) from error
        if rows is not None and not _are_places(rows, count):
            raise unfit(
                self._name,
                f"gives {_shown(rows)} {when}; expected different places in the batch, int64",
            )
        return rows


def has_selection(regularizers: Mapping[str, Regularizer]) -> bool:
    """Whether one of the regularizers of a run selects images."""
    return bool(acting_in("selection", regularizers))


def check_selection(regularizers: Mapping[str, Regularizer], *, seed: int, plan: Plan) -> None:
    """Refuse regularizers that can't select the images of a run, before it begins.

    Raises:
        ConfigError: See ``Selector``.
    """
    if has_selection(regularizers):
        Selector(regularizers, seed=seed, plan=plan).check()


def _are_places(rows: object, count: int) -> bool:
    if not isinstance(rows, Tensor) or rows.dtype != torch.int64 or rows.ndim != 1 or not len(rows):
        return False
    return (
        torch.unique(rows).numel() == len(rows) and int(rows.min()) >= 0 and int(rows.max()) < count
    )


def _shown(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    of = f", from {int(value.min())} to {int(value.max())}" if value.numel() else ""
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}{of}"
