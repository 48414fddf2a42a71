"""What changes how weights are updated: schedules, optimizers, regularizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.components.hooks import Timed
from cifarzoo.components.protocols import Timestamp
from cifarzoo.components.regularizers import acting_stages
from cifarzoo.engine.assembly.build import build_optimizer, make
from cifarzoo.engine.assembly.dry_run import dry_run
from cifarzoo.engine.assembly.failures import failed, unfit
from cifarzoo.engine.assembly.optimizer_trial import try_optimizer
from cifarzoo.engine.assembly.plan import plan
from cifarzoo.engine.assembly.step_form import Closure, form_of, take_step
from cifarzoo.engine.assembly.trials import check_schedule
from cifarzoo.errors import ConfigError
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.testing.subject import Subject

CPU = torch.device("cpu")
NUM_STEPS = 3  # SOAP's first only looks at the gradient
LENGTHS = ((1, 4), (1, 24), (3, 240), (200, 24))  # of runs: epochs, and training images


def check_factors(subject: Subject, _folder: Path) -> None:
    """Ask for the factors of short and long runs.

    Raises:
        ConfigError: It fails, or gives something else than finite numbers from 0 on.
    """
    for epochs, num_train in LENGTHS:
        run = subject.config(epochs=epochs, max_steps=None).build()
        sizes = plan(run, num_train=num_train, num_test=1)
        check_schedule(make(run.schedule, "schedule"), sizes, name=subject.name)


def check_optimizer_state(subject: Subject, _folder: Path) -> None:
    """Step, give the state to a second one, and step both.

    Raises:
        ConfigError: They part.
    """
    components = subject.components()
    optimizer, _ = build_optimizer(subject.run, components, components.model)
    trial = try_optimizer(subject.run, components, optimizer, device=CPU)
    for line in trial.warnings:
        raise unfit(subject.name, line.removeprefix(f"{subject.name}: "))


def check_groups(subject: Subject, _folder: Path) -> None:
    """Take steps at two rates, without gradients, and with gradients of 0.

    Raises:
        ConfigError: A rate changes nothing, or it moves weights that it should leave alone.
    """
    unused = _stepped(subject, gradient=None)
    if any(map(torch.equal, *(_stepped(subject, gradient=1.0, scale=by) for by in (1.0, 0.5)))):
        raise unfit(
            subject.name,
            "makes the same steps at half the rate; take the rate from group['lr'] in each step, "
            "since the schedule changes it",
        )
    if not all(map(torch.equal, unused, _weights())):
        raise unfit(
            subject.name,
            "moves weights whose gradient is None, which no pass of the step has used; expected "
            "that they are passed over",
        )
    _, spared = _stepped(subject, gradient=0.0)
    if not torch.equal(spared, _weights()[1]):
        raise unfit(
            subject.name,
            "moves weights whose gradient is 0 in the group whose weight_decay is 0.0; take the "
            "decay from group['weight_decay'], which run.weight_decay_policy sets",
        )


def _weights() -> list[nn.Parameter]:
    """A weight of the group that is decayed, and one of the other."""
    numbers = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(4, 3, generator=numbers)) for _ in range(2)]


def _stepped(subject: Subject, *, gradient: float | None, scale: float = 1.0) -> list[Tensor]:
    """The weights after a few steps of the same gradient.

    Args:
        subject: Optimizer that is tested.
        gradient: Factor on random gradients; None: there is no gradient.
        scale: Factor on the rates of its settings.
    """
    weights: list[nn.Parameter] = []

    def make_loop() -> tuple[Any, Closure]:
        decayed, spared = weights[:] = _weights()
        groups = [{"params": [decayed]}, {"params": [spared], "weight_decay": 0.0}]
        optimizer: Any = make(subject.run.optimizer, "optimizer", params=groups)
        for group in optimizer.param_groups:
            group["lr"] = scale * group["lr"]
        if isinstance(optimizer, Timed):
            optimizer.begin_step(Timestamp(0, 10, 20))

        def closure() -> Tensor:
            numbers = torch.Generator().manual_seed(1)
            for weight in (decayed, spared):
                drawn = torch.randn(weight.shape, generator=numbers)
                weight.grad = None if gradient is None else gradient * drawn
            return torch.ones(())

        return optimizer, closure

    try:
        form = form_of(make_loop)
        optimizer, closure = make_loop()
        for _ in range(NUM_STEPS):
            take_step(optimizer, closure, form)
    except ConfigError:
        raise
    except Exception as error:
        raise failed(subject.name, "in a step on two matrices", error) from error
    return [weight.detach() for weight in weights]


def check_stages(subject: Subject, _folder: Path) -> None:
    """Try each stage in which it acts on two images, and the batch stage on more.

    Raises:
        ConfigError: One fails, or gives what the next can't take.
    """
    components = dry_run(subject.run, folder=subject.data, device=CPU)
    regularizer = components.regularizers[subject.name]
    if "batch" not in acting_stages(regularizer):
        return
    numbers = torch.Generator().manual_seed(0)
    images = torch.randn(16, *components.dataset.image_shape, generator=numbers)
    num_classes = len(components.dataset.classes)
    targets = F.one_hot(torch.arange(16) % num_classes, num_classes).float()
    draws = BatchDraws(generator(0, subject.name, 0, 0), 16)
    mixed, mixed_targets = regularizer.batch(images.clone(), targets.clone(), draws)
    if mixed.dtype != images.dtype or mixed_targets.dtype != targets.dtype:
        types = f"{mixed.dtype} and {mixed_targets.dtype}"
        raise unfit(subject.name, f"gives images and targets of {types}; expected torch.float32")
    sums = mixed_targets.sum(1)
    if bool((mixed_targets < 0).any()) or not torch.allclose(sums, torch.ones_like(sums)):
        raise unfit(
            subject.name,
            f"gives targets that are no probabilities (sums from {sums.min():.3g} to "
            f"{sums.max():.3g}); expected numbers from 0 that sum to 1 an image",
        )
