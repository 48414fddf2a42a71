"""Optimizers and averages tried on a small network: how they step, and whether they resume.

A checkpoint has what ``state_dict`` gives. What is kept elsewhere is lost when a run is resumed,
which then goes another way without a word; so a second optimizer, or average, that was given
the state of a first must go on as that one does.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cifarzoo.components.hooks import Timed
from cifarzoo.components.protocols import Timestamp
from cifarzoo.components.regularizers import Average, Regularizer, acting_in, acting_stages
from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.build import (
    Components,
    build_average,
    build_optimizer,
    make,
    name_of,
    naming,
)
from cifarzoo.engine.assembly.repeated_calls import are_same
from cifarzoo.engine.assembly.step_form import (
    Closure,
    StepForm,
    declared_form,
    form_of,
    take_step,
)
from cifarzoo.engine.assembly.weight_decay import split
from cifarzoo.engine.saved_tensors import read_saved
from cifarzoo.errors import in_one_line
from cifarzoo.randomness.global_generators import kept_generators, seed_generators

STEPS_BEFORE, STEPS_AFTER = 3, 22  # what acts every ten or twenty steps acts once after the trip
UNTRIED = "can't be tried on a small network, so how it is resumed isn't known"


@dataclass(frozen=True, kw_only=True)
class OptimizerTrial:
    """What is known of a run's optimizer and average from trying them.

    Attributes:
        form: How the optimizer is called.
        warnings: What would not be resumed exactly, or could not be tried, a line each.
    """

    form: StepForm
    warnings: tuple[str, ...]


def try_optimizer(
    run: Run, components: Components, optimizer: Any, *, device: torch.device
) -> OptimizerTrial:
    """Try what the run makes its optimizer and its average of; no generator is changed.

    Args:
        run: Run that is trained.
        components: What its factories made, which isn't changed: regularizers that wrap the
            optimizer, or average, are made anew.
        optimizer: Optimizer of the run, which isn't used.
        device: Device on which it is trained.

    Raises:
        ConfigError: The optimizer's ``step`` wants more than a closure.
    """
    with naming(_makers(run, components)[-1]):
        declared = declared_form(optimizer)
    with kept_generators(device.index if device.type == "cuda" else None):
        tried = _tried(run, components)
        form, problem = _form(run, tried, device)
        if problem is None:
            problem = _optimizer_problem(run, tried, device)
        found = (problem, _average_problem(tried))
    return OptimizerTrial(form=form or declared, warnings=tuple(filter(None, found)))


def _tried(run: Run, components: Components) -> Components:
    """The components of a run over a small network, with the regularizers that act here."""
    regularizers: dict[str, Regularizer] = {}
    for (name, made), factory in zip(
        components.regularizers.items(), run.regularizers, strict=True
    ):
        if {"optimizer", "average"} & set(acting_stages(made)):
            regularizers[name] = make(factory, "regularizer")
    model = _network()
    coverage = split(model, run.weight_decay_policy)
    return replace(components, regularizers=regularizers, model=model, coverage=coverage)


def _network() -> nn.Module:
    """Every kind of parameter that networks have: kernel, matrix, scale, shift, bias."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 10),
    )


class _Loop:
    """An optimizer on a small network of its own, whose gradients are the same in every loop."""

    def __init__(self, run: Run, components: Components, device: torch.device) -> None:
        torch.manual_seed(0)
        self.model = _network().to(device)
        self.optimizer, _ = build_optimizer(run, components, self.model)
        self.seed = run.seed
        self.done = 0

    def closure(self) -> Tensor:
        seed_generators(self.seed, "torch", self.done)
        self.optimizer.zero_grad(set_to_none=True)
        for parameter in self.model.parameters():
            parameter.grad = torch.randn_like(parameter)
        return torch.ones((), device=parameter.device)

    def step(self, form: StepForm) -> None:
        seed_generators(self.seed, "torch", "optimizer", self.done)
        if isinstance(self.optimizer, Timed):
            self.optimizer.begin_step(_timestamp(self.done))
        take_step(self.optimizer, self.closure, form)
        self.done += 1


def _timestamp(step: int) -> Timestamp:
    return Timestamp(step, 10, STEPS_BEFORE + STEPS_AFTER)


def _form(
    run: Run, components: Components, device: torch.device
) -> tuple[StepForm | None, str | None]:
    """How the optimizer is called; or None, and what a step of it on the small network raises."""

    def make_loop() -> tuple[Any, Closure]:
        loop = _Loop(run, components, device)
        return loop.optimizer, loop.closure

    try:
        return form_of(make_loop), None
    except Exception as error:  # strangers' code may raise anything
        return None, f"{_makers(run, components)[-1]} {UNTRIED}: {in_one_line(error)[:200]}"


def _makers(run: Run, components: Components) -> list[str]:
    """Names of those that make the optimizer: its factory, and what wraps it."""
    return [name_of(run.optimizer), *acting_in("optimizer", components.regularizers)]


def _optimizer_problem(run: Run, components: Components, device: torch.device) -> str | None:
    """A line on the first of those that make the optimizer after which it doesn't resume."""
    makers = _makers(run, components)
    for count, name in enumerate(makers):
        chosen = {n: components.regularizers[n] for n in makers[1 : count + 1]}
        some = replace(components, regularizers=chosen)
        form, _ = _form(run, some, device)
        if form is None:  # one that is only used wrapped
            continue
        problem = _round_trip(
            partial(_Loop, run, some, device),
            state_of=lambda loop: loop.optimizer,
            advance=partial(_Loop.step, form=form),
        )
        if problem is not None:
            return f"{name}: a run that is resumed goes another way, since its optimizer {problem}"
    return None


class _Averaging:
    """An average of a small network, whose weights move alike in every one."""

    def __init__(self, components: Components) -> None:
        torch.manual_seed(0)
        self.model = _network()
        self.average: Any = build_average(components, self.model)
        self.done = 0

    def step(self) -> None:
        seed_generators(0, "torch", self.done)
        if isinstance(self.average, Timed):
            self.average.begin_step(_timestamp(self.done))
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        if self.average is not None:  # as its settings may have it
            self.average.update_parameters(self.model)
        self.done += 1


def _average_problem(components: Components) -> str | None:
    averaging = [*acting_in("average", components.regularizers)]
    if not averaging:
        return None
    try:
        problem = _round_trip(
            partial(_Averaging, components),
            state_of=lambda each: each.average,
            advance=_Averaging.step,
        )
    except Exception as error:  # strangers' code may raise anything
        return f"{averaging[0]} {UNTRIED}: {in_one_line(error)[:200]}"
    if problem is None:
        return None
    return f"{averaging[0]}: a run that is resumed goes another way, since its average {problem}"


def _weights(trial: Any) -> list[Tensor]:
    """What training has made: the weights, and their average."""
    average: Average | None = getattr(trial, "average", None)
    modules = [trial.model] if average is None else [trial.model, average.module]
    return [tensor for module in modules for tensor in module.state_dict().values()]


def _round_trip(
    begin: Callable[[], Any],
    *,
    state_of: Callable[[Any], Any],
    advance: Callable[[Any], None],
) -> str | None:
    """What goes wrong when a second one is given the state of a first; None: nothing."""
    first, second = begin(), begin()
    for _ in range(STEPS_BEFORE):
        advance(first)
    second.model.load_state_dict(first.model.state_dict())
    second.done = first.done
    if state_of(first) is None:
        return None
    try:
        state_of(second).load_state_dict(_read_back(state_of(first).state_dict()))
    except Exception as error:  # strangers' code may raise anything
        return f"does not take its state_dict back ({in_one_line(error)[:200]})"
    for count in range(STEPS_AFTER):
        advance(first)
        advance(second)
        if not are_same(_weights(first), _weights(second)):
            return (
                "keeps something that its state_dict doesn't have: given it back, step "
                f"{count + 1} after it gives other weights; put it into state_dict and "
                "load_state_dict"
            )
    return None


def _read_back(state: Any) -> Any:
    """As a checkpoint has it."""
    file = io.BytesIO()
    torch.save(state, file)
    return read_saved(file.getvalue())
