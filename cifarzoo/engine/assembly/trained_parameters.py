"""Which parameters a run trains: those that a network trains now, or will by its ``begin_step``.

``requires_grad`` says it of a step. What is frozen when the network is built and trained later
must be in the optimizer from the start, since its groups are fixed; what never is stays out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from torch import nn

from cifarzoo.components.hooks import Timed
from cifarzoo.components.protocols import Timestamp
from cifarzoo.components.run import Run
from cifarzoo.errors import CifarzooError, ConfigError, in_one_line
from cifarzoo.randomness.global_generators import kept_generators

TRIED_STEPS = 500
USUAL_IMAGES = 50_000  # where only reading the data tells


def trained_parameters(model: nn.Module, run: Run, num_train: int | None) -> set[str]:
    """Names of the parameters that are trained in some step of a run.

    Where some are frozen and a module has a ``begin_step``, a copy of the network is taken
    through the run, in at most 500 of its steps.

    Args:
        model: Network, on any device; it isn't changed.
        run: Run that is trained.
        num_train: Training images of the dataset; None: not known.

    Raises:
        ConfigError: A ``begin_step`` fails.
    """
    trained = _trained_now(model)
    is_frozen = any(not parameter.requires_grad for parameter in model.parameters())
    if not is_frozen or not any(isinstance(module, Timed) for module in model.modules()):
        return trained
    trial = copy.deepcopy(model)
    timed = [module for module in trial.modules() if isinstance(module, Timed)]
    with kept_generators():
        for timestamp in _timestamps(run, num_train):
            for module in timed:
                try:
                    module.begin_step(timestamp)
                except Exception as error:
                    name = type(module).__name__
                    raise ConfigError(
                        f"fails in {name}.begin_step at {timestamp}: {in_one_line(error)}",
                        parameter="architecture",
                    ) from error
            trained |= _trained_now(trial)
    return trained


def check_trained(model: nn.Module, optimizer: Any, *, step: int) -> None:
    """Refuse a step that would train nothing, or what the optimizer doesn't have.

    Args:
        model: Network, after its ``begin_step``.
        optimizer: Optimizer of the run.
        step: Optimizer steps done.

    Raises:
        CifarzooError: It would.
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise CifarzooError(
            f"begin_step froze every parameter of the network in step {step + 1}; leave one that "
            "is trained, or end the run before"
        )
    for name, parameter in named:
        if id(parameter) not in held:
            raise CifarzooError(
                f"{name} is trained from step {step + 1} on, and the optimizer doesn't have it: it "
                "was frozen when the network was built, and begin_step didn't say by the "
                "timestamp alone that this would change; freeze it in begin_step"
            )


def _trained_now(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def _timestamps(run: Run, num_train: int | None) -> Iterable[Timestamp]:
    """Some steps of a run, its first and last among them, as well as they are known by now."""
    images = run.train_images or num_train or USUAL_IMAGES
    steps_per_epoch = max(1, (images - run.validation_images) // run.batch_size)
    total = max(1, round(run.epochs * steps_per_epoch))
    if run.max_steps is not None:
        total = min(total, run.max_steps)
    for step in [*range(0, total, max(1, total // TRIED_STEPS)), total - 1]:
        yield Timestamp(step, steps_per_epoch, total)
