"""What changes while a run trains, and is therefore all that a checkpoint holds.

Neither positions in data nor generators nor a scheduler are here: those are functions of the
step. BatchNorm's statistics are, in the model's buffers.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo.components.hooks import Timed
from cifarzoo.components.regularizers import Average, Regularizer
from cifarzoo.engine.assembly.forward import uses_all_parameters
from cifarzoo.engine.assembly.optimizer_trial import OptimizerTrial
from cifarzoo.engine.device.compiling import compile_network
from cifarzoo.engine.device.precision import Policy, Scaler
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.fitting import (
    check_average,
    check_losses,
    check_tensors,
    fitting,
    fitting_optimizer,
)
from cifarzoo.errors import NotFiniteError
from cifarzoo.layers import norms
from cifarzoo.layers.dropout import Dropout, dropouts
from cifarzoo.randomness.gates import SiteDraw, site_draws

UNSEEN = -1.0  # in the place of a loss: checkpoints hold finite numbers alone


@dataclass(kw_only=True)
class Progress:
    """How far training has come, in numbers.

    Attributes:
        step: Optimizer steps done.
        loss_sum: Sum of the training losses of this epoch's steps.
        loss_steps: Steps in that sum.
        train_seconds: Seconds spent in training steps, over all attempts.
        best_error: Lowest validation error so far.
        best_step: Optimizer steps done when it was reached.
    """

    step: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    train_seconds: float = 0.0
    best_error: float | None = None
    best_step: int | None = None

    @property
    def mean_loss(self) -> float:
        """Mean training loss of this epoch's steps; 0 before the first."""
        return self.loss_sum / max(1, self.loss_steps)

    def begin_epoch(self) -> None:
        """Start the mean of another epoch's losses."""
        self.loss_sum, self.loss_steps = 0.0, 0

    def note_validation(self, error: float) -> bool:
        """Whether ``error`` is the lowest on the validation images so far."""
        is_best = self.best_error is None or error < self.best_error
        if is_best:
            self.best_error, self.best_step = error, self.step
        return is_best


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Running statistics that belong to the averaged weights of a step.

    Attributes:
        step: Optimizer steps done.
        tensors: Running means and variances, by their names in the averaged network.
    """

    step: int
    tensors: dict[str, Tensor]


@dataclass(kw_only=True)
class TrainingState:
    """Everything that a step changes.

    Attributes:
        model: The network, without wrappers.
        parallel: The network as it is called: compiled, gradients averaged over the ranks.
        optimizer: The optimizer, as the regularizers wrapped it.
        base_rates: Learning rate of each of the optimizer's groups before the schedule.
        average: Averaged weights; None: no regularizer keeps any.
        scaler: Scales the loss where the precision needs it.
        trial: What is known of the optimizer and the average from trying them.
        progress: The numbers that say how far training has come.
        statistics: Newest running statistics of the average that are of all training images;
            None: there were none yet, or the average needs none.
        losses: Cross-entropy of each training image when it was last trained on (N,), on the CPU;
            ``UNSEEN`` where it never was. None: nothing is selected by it.
        last_loss: Training loss of the newest step; not in the checkpoint.
        held_rates: The learning rates (groups,) on the device, which captured steps read; None:
            the optimizer has them as numbers.
    """

    model: nn.Module
    parallel: nn.Module
    optimizer: Any
    base_rates: Sequence[float]
    average: Average | None
    scaler: Scaler
    trial: OptimizerTrial
    progress: Progress = field(default_factory=Progress)
    statistics: Statistics | None = None
    losses: Tensor | None = None
    last_loss: float = 0.0
    held_rates: Tensor | None = None
    _rates: list[float] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.progress.step

    @property
    def evaluated(self) -> nn.Module:
        """The network that is tested: the average where there is one."""
        return self.average.module if self.average is not None else self.model

    @property
    def statistics_now(self) -> dict[str, Tensor] | None:
        """The average's running statistics, if they belong to its weights of this step."""
        newest = self.statistics
        return newest.tensors if newest is not None and newest.step == self.step else None

    @cached_property
    def timed(self) -> list[Timed]:
        """What begins each step by the progress of training.

        Found once, as the others below are: to ask every module in every step takes long.
        """
        parts = (self.optimizer, self.average, *self.model.modules())
        return [part for part in parts if isinstance(part, Timed)]

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters of the network, frozen ones too, in its order."""
        return list(self.model.parameters())

    @property
    def trained(self) -> tuple[bool, ...]:
        """Which of the parameters are trained."""
        return tuple(parameter.requires_grad for parameter in self.parameters)

    @cached_property
    def buffers(self) -> list[str]:
        """Names of the buffers that a pass in training may look at: not the statistics of norms."""
        statistics = {id(tensor) for tensor in norms.tracked(self.model)}
        return [name for name, b in self.model.named_buffers() if id(b) not in statistics]

    @cached_property
    def sites(self) -> list[SiteDraw]:
        """What gets random numbers in every step, in the network's order."""
        return site_draws(self.model)

    @cached_property
    def dropouts(self) -> list[Dropout]:
        """What gets its masks in every step, in the network's order."""
        return dropouts(self.model)

    def set_rate(self, factor: float) -> None:
        """Set the optimizer's learning rates to ``factor`` times their base.

        Those on the device are for whoever copies numbers there to set.
        """
        self._rates = [base * factor for base in self.base_rates]
        self._give_rates()

    def hold_rates(self, rates: Tensor) -> None:
        """Let steps read their rates from ``rates`` (groups,), on the device, from now on."""
        self.held_rates = rates
        self._give_rates()
        for group in self.optimizer.param_groups:
            if "capturable" in group:  # torch's word for it, in its optimizers that can
                group["capturable"] = True

    def _give_rates(self) -> None:
        """Give the optimizer its rates: the numbers, or the memory that holds them."""
        rates = self._rates if self.held_rates is None else self.held_rates
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    @property
    def rates(self) -> list[float]:
        """Learning rate of each group of parameters."""
        return self._rates or [float(group["lr"]) for group in self.optimizer.param_groups]

    @property
    def rate(self) -> float:
        """Learning rate of the first group of parameters."""
        return self.rates[0]

    def note_loss(self, loss: float) -> None:
        """Count the mean loss over the global batch of one more step."""
        self.progress.loss_sum += loss
        self.progress.loss_steps += 1
        self.last_loss = loss

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and texts: what ``torch.load(weights_only=True)`` reads back."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer_state(),
            "average": self.average.state_dict() if self.average is not None else None,
            # By the network's names, whoever wrote the average; the same memory is saved once.
            "averaged": self.average.module.state_dict() if self.average is not None else None,
            "scaler": self.scaler.state_dict(),
            "numbers": asdict(self.progress),
            "statistics": self.statistics_now,
            **({} if self.losses is None else {"losses": self.losses}),
        }

    def _optimizer_state(self) -> dict[str, Any]:
        """With rates as numbers, wherever they are held."""
        state: dict[str, Any] = self.optimizer.state_dict()
        if self.held_rates is None:
            return state
        groups = [
            {**group, "lr": rate}
            for group, rate in zip(state["param_groups"], self.rates, strict=True)
        ]
        return {**state, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``.

        Raises:
            MisfitError: It is not of this network, optimizer or average.
        """
        names = [number.name for number in fields(Progress)]
        progress = Progress(**{name: state["numbers"][name] for name in names})
        with fitting():
            check_tensors(self.model.state_dict(), state["model"], "model")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(
                fitting_optimizer(self.optimizer, state["optimizer"], progress.step)
            )
            if self.average is not None:
                check_average(self.average, state, progress.step)
                self.average.load_state_dict(state["average"])
            self.scaler.load_state_dict(state["scaler"])
            self.progress = progress
            statistics = state.get("statistics")  # older checkpoints have none
            if statistics is not None:
                self.statistics = Statistics(step=self.step, tensors=statistics)
            if self.losses is not None:
                check_losses(self.losses, state.get("losses"))
                self.losses.copy_(state["losses"])

    def check_finite(self) -> None:
        """Refuse to save or test numbers that nothing could go on from.

        Raises:
            NotFiniteError: A tensor holds one; names it.
        """
        others = ("numbers", "averaged")  # no tensors; those of the average once more
        state = {name: part for name, part in self.state_dict().items() if name not in others}
        floats = {name: t for name, t in _tensors(state) if t.is_floating_point()}
        if not _are_finite(floats.values()):
            name = next(name for name, tensor in floats.items() if not _are_finite([tensor]))
            raise NotFiniteError(
                f"{name} is not finite after step {self.step}; nothing was saved since; lower "
                "the learning rate, or look at the data"
            )


def _are_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all numbers are, of any number of tensors; a GPU is waited for once."""
    flags = defaultdict[torch.device, list[Tensor]](list)
    for tensor in tensors:
        flags[tensor.device].append(torch.isfinite(tensor).all())
    return all(bool(torch.stack(of_device).all()) for of_device in flags.values())


def wrap(
    model: nn.Module, regularizers: Mapping[str, Regularizer], *, world: World, policy: Policy
) -> nn.Module:
    """The network as the loop calls it: gradients averaged over the ranks, compiled."""
    parallel = world.parallel(model, uses_all=uses_all_parameters(model, regularizers))
    if policy.compile:
        compile_network(parallel)
    return parallel


def digest_of(tensors: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of named tensors: names, types, shapes and bytes, sorted by name."""
    sha256 = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        if isinstance(tensor, Tensor):
            plain = tensor.detach().cpu().contiguous()
            sha256.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
            sha256.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _tensors(part, f"{name}[{index}]")
