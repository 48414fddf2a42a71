"""Means of the weights at several points of training: SWA and LAWA."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn

from cifarzoo import register
from cifarzoo.protocols import (
    Average,
    Fraction,
    PositiveFloat,
    Regularizer,
    Timestamp,
    check_settings,
)


class PointAverage:
    """The mean of the weights at some points of training (``Average`` and ``Timed``).

    Until the first point it is the network itself.

    Args:
        model: What is trained.
        start: Share of the run after which points begin.
        every_epochs: Epochs from one point to the next.
        num_points: Newest points that are averaged; None: all.

    Attributes:
        module: Network with the mean.
        points: Parameters at the newest ``num_points`` points, the oldest first.
        num_taken: Points so far.
    """

    recompute_statistics = True

    def __init__(
        self, model: nn.Module, *, start: float, every_epochs: float, num_points: int | None
    ) -> None:
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.points: list[list[Tensor]] = []
        self.num_taken = 0
        self._start = start
        self._every_epochs = every_epochs
        self._num_points = num_points
        self._moment = Timestamp(0, 1, 1)

    def begin_step(self, moment: Timestamp) -> None:
        """Note where training stands; the engine says it before every step."""
        self._moment = moment

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take in the weights, if this is a point."""
        if self._is_point():
            self.num_taken += 1
            if self._num_points is None:
                self._take_into_mean(model)
            else:
                self._take_among_newest(model, self._num_points)
        elif not self.num_taken:
            for mean, weights in zip(self.module.parameters(), model.parameters(), strict=True):
                mean.copy_(weights)
        for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)

    def _take_into_mean(self, model: nn.Module) -> None:
        for mean, weights in zip(self.module.parameters(), model.parameters(), strict=True):
            mean.lerp_(weights, 1 / self.num_taken)

    def _take_among_newest(self, model: nn.Module, num_points: int) -> None:
        self.points = self.points[-(num_points - 1) :] if num_points > 1 else []
        self.points.append([parameter.detach().clone() for parameter in model.parameters()])
        for mean, *each in zip(self.module.parameters(), *self.points, strict=True):
            mean.copy_(torch.stack(each).mean(0))

    def _is_point(self) -> bool:
        """Whether a step that ends now is the last before a multiple of ``every_epochs``.

        The run's last step is one too, so that its weights are in the mean.
        """
        done = self._moment.step + 1
        if done < self._start * self._moment.total_steps:
            return False
        epoch, before = done / self._moment.steps_per_epoch, self._moment.epoch
        is_due = epoch // self._every_epochs > before // self._every_epochs
        return is_due or done == self._moment.total_steps

    def state_dict(self) -> dict[str, Any]:
        """The mean, the number of points, and the newest of them."""
        state = {"module": self.module.state_dict(), "points": self.points}
        return {**state, "num_taken": self.num_taken}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self.module.load_state_dict(state_dict["module"])
        like = next(self.module.parameters())
        self.points = [
            [each.to(device=like.device, copy=True) for each in point]
            for point in state_dict["points"]
        ]
        self.num_taken = state_dict["num_taken"]


@dataclass(frozen=True, kw_only=True)
class PointAveraging(Regularizer):
    """Evaluates a ``PointAverage``; see ``swa`` and ``lawa``."""

    start: float
    every_epochs: float
    num_points: int | None

    def average(self, model: nn.Module) -> Average:
        """A mean that starts as ``model``."""
        return PointAverage(
            model,
            start=self.start,
            every_epochs=self.every_epochs,
            num_points=self.num_points,
        )


@register.regularizer
def swa(*, start: Fraction = 0.75, every_epochs: PositiveFloat = 1.0) -> Regularizer:
    """Evaluate the mean of the weights at the ends of the last epochs.

    Stochastic Weight Averaging (Izmailov et al., 2018; arXiv:1803.05407), algorithm 1. Meant for
    a learning rate that stays high at the end, such as ``multistep`` with one drop to a constant,
    or the ends of ``sgdr``'s cycles. BatchNorm's running statistics are computed for the mean.

    Args:
        start: Share of the run after which weights are averaged, 0 to below 1; until then the
            trained weights are evaluated.
        every_epochs: Epochs from one point to the next, above 0. The run's last step is a point
            too.

    Raises:
        ConfigError: A number is out of its range.
    """
    check_settings(swa, locals())
    return PointAveraging(start=start, every_epochs=every_epochs, num_points=None)


@register.regularizer
def lawa(
    *, num_points: Annotated[int, Ge(1)] = 6, every_epochs: PositiveFloat = 1.0
) -> Regularizer:
    """Evaluate the mean of the weights at the ends of the latest few epochs, all along.

    LAWA, latest weight averaging (Kaddour, 2022; arXiv:2209.14981), which finds it to save epochs
    in the middle of training. BatchNorm's running statistics are computed for the mean.

    Args:
        num_points: Weights that are averaged, at least 1, each of which is kept in memory.
        every_epochs: Epochs from one point to the next, above 0.

    Raises:
        ConfigError: A number is out of its range.
    """
    check_settings(lawa, locals())
    return PointAveraging(start=0.0, every_epochs=every_epochs, num_points=num_points)
