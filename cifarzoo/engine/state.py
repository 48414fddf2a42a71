"""What changes while a run trains, and is therefore all that a checkpoint holds.

Neither positions in data nor generators nor a scheduler are here: those are functions of the
step. BatchNorm's statistics are, in the model's buffers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo.components.hooks import Timed
from cifarzoo.components.regularizers import Average
from cifarzoo.engine.device.precision import Scaler
from cifarzoo.errors import CheckpointError, NotFiniteError
from cifarzoo.layers.dropout import Dropout, dropouts
from cifarzoo.randomness.gates import SiteDraw, site_draws

NUMBERS = ("step", "loss_sum", "loss_steps", "train_seconds", "best_error", "best_step")


@dataclass(kw_only=True)
class TrainingState:
    """Everything that a step changes.

    Attributes:
        model: The network, without wrappers.
        optimizer: As the regularizers wrapped it.
        base_rates: Learning rate of each of the optimizer's groups before the schedule.
        average: Averaged weights, if a regularizer keeps them.
        scaler: Scales the loss where the precision needs it.
        step: Optimizer steps done.
        loss_sum: Sum over this epoch's steps of the training loss.
        loss_steps: Steps in it.
        train_seconds: Time spent in training steps, over all attempts.
        best_error: Lowest validation error so far.
        best_step: Where it was.
        saved_step: Step of the newest checkpoint that this rank wrote; not in the checkpoint.
        last_loss: Training loss of the newest step; not in the checkpoint.
    """

    model: nn.Module
    optimizer: Any
    base_rates: Sequence[float]
    average: Average | None
    scaler: Scaler
    step: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    train_seconds: float = 0.0
    best_error: float | None = None
    best_step: int | None = None
    saved_step: int | None = None
    last_loss: float = 0.0

    @property
    def evaluated(self) -> nn.Module:
        """The network that is tested: the average where there is one."""
        return self.average.module if self.average is not None else self.model

    @cached_property
    def timed(self) -> list[Timed]:
        """What is told where training stands: found once, since asking every module takes long."""
        parts = (self.optimizer, self.average, *self.model.modules())
        return [part for part in parts if isinstance(part, Timed)]

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        """All of the network's, frozen ones too, in its order; found once too."""
        return list(self.model.parameters())

    @cached_property
    def sites(self) -> list[SiteDraw]:
        """What gets random numbers in every step, in the network's order; found once too."""
        return site_draws(self.model)

    @cached_property
    def dropouts(self) -> list[Dropout]:
        """What is told its masks in every step, in the network's order; found once too."""
        return dropouts(self.model)

    def set_rate(self, factor: float) -> None:
        """Set the optimizer's learning rates to ``factor`` times their base."""
        for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = base * factor

    @property
    def rate(self) -> float:
        """Learning rate of the first group of parameters."""
        return float(self.optimizer.param_groups[0]["lr"])

    def note_loss(self, loss: float) -> None:
        """The mean loss over the global batch of one more step is known."""
        self.loss_sum += loss
        self.last_loss = loss
        self.loss_steps += 1

    def note_validation(self, error: float) -> bool:
        """Whether ``error`` is the lowest on the validation images so far."""
        is_best = self.best_error is None or error < self.best_error
        if is_best:
            self.best_error, self.best_step = error, self.step
        return is_best

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and texts: what ``torch.load(weights_only=True)`` reads back."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "scaler": self.scaler.state_dict(),
            "numbers": {name: getattr(self, name) for name in NUMBERS},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``.

        Raises:
            CheckpointError: It is not of this network, optimizer or average.
        """
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self.scaler.load_state_dict(state["scaler"])
            for name in NUMBERS:
                setattr(self, name, state["numbers"][name])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise CheckpointError(
                f"the checkpoint does not fit this run ({reason[:200]}); its code or plugins have "
                "changed since; bring them back, or start a new run"
            ) from error

    def check_finite(self) -> None:
        """Refuse to save or test numbers that nothing could go on from.

        Raises:
            NotFiniteError: A tensor holds one; names it.
        """
        state = {name: part for name, part in self.state_dict().items() if name != "numbers"}
        for name, tensor in _tensors(state):
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise NotFiniteError(
                    f"{name} is not finite after step {self.step}; nothing was saved since; lower "
                    "the learning rate, or look at the data"
                )


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _tensors(part, f"{name}[{index}]")
