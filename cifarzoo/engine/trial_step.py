"""A trial before a run: one step and one test on noise, with a network that is thrown away.

What shows only in training, in the run's precision or in its memory format, shows here and in
words, before the data are read. Nothing of the run itself is touched.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.components.hooks import DataInitialised
from cifarzoo.components.run import Run
from cifarzoo.engine.assembly.build import name_of
from cifarzoo.engine.assembly.dry_run import build_within_memory, check_components
from cifarzoo.engine.assembly.failures import FailsError, failed, unfit
from cifarzoo.engine.assembly.forward import Wrapped
from cifarzoo.engine.assembly.optimizer_trial import OptimizerTrial
from cifarzoo.engine.assembly.plan import Plan
from cifarzoo.engine.assembly.validation import GIB, memory_of
from cifarzoo.engine.device.kernels import convert
from cifarzoo.engine.device.precision import Policy, Scaler, choose, numerics
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.objective import StepLoss
from cifarzoo.engine.state import TrainingState
from cifarzoo.engine.step import train_step
from cifarzoo.engine.teachers import OpenRun, give_teachers, opens_none
from cifarzoo.engine.training import Setup, initial_state, to_device
from cifarzoo.errors import CifarzooError, ConfigError
from cifarzoo.randomness.global_generators import kept_generators

NUM_IMAGES = 4
FEWER_IMAGES = 2  # where a forward pass of the run has fewer than NUM_IMAGES
NUM_INITIAL_IMAGES = 256  # for modules that take their first weights from the data
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def try_run(
    run: Run,
    *,
    folder: Path | None,
    device: torch.device,
    world_size: int = 1,
    open_run: OpenRun = opens_none,
    is_checked: bool = False,
) -> OptimizerTrial:
    """Build ``run``, try its components, and take a step and a test on noise.

    Args:
        run: Run that is to be trained.
        folder: Folder of the data, which aren't read; None: not known.
        device: Device on which it is to be trained.
        world_size: Number of ranks of the run; the trial is on one.
        open_run: Opens the runs of teachers.
        is_checked: Whether ``dry_run`` has seen it.

    Returns:
        What was found of the optimizer, which the run needs not try again.

    Raises:
        ConfigError: What ``dry_run`` refuses, a component that fails in training or at test, or a
            teacher that can't teach.
        DataError: The dataset isn't there.
    """
    policy = choose(run, device)
    # A few images are less than kernels are for in the run.
    policy = replace(policy, compile=False, kernels=replace(policy.kernels, least=0))
    num_images = _images_of_a_pass(run, world_size)
    once = partial(
        _try,
        run,
        folder,
        device=device,
        num_images=num_images,
        open_run=open_run,
        is_checked=is_checked,
    )
    with (
        kept_generators(device.index if device.type == "cuda" else None),
        numerics(policy, strict=bool(run.deterministic)),
    ):
        try:
            return once(policy)
        except FailsError as error:
            if policy.channels_last and _works(once, replace(policy, channels_last=False)):
                error.problem += "; it works on (N, C, H, W): set run.channels_last = False"
            raise
        except torch.OutOfMemoryError as error:
            raise _too_large(num_images, device) from error
        finally:
            if device.type == "cuda":
                torch.cuda.empty_cache()


def _try(
    run: Run,
    folder: Path | None,
    policy: Policy,
    *,
    device: torch.device,
    num_images: int,
    open_run: OpenRun,
    is_checked: bool,
) -> OptimizerTrial:
    """One step and one test on a few images; on a GPU also a step on as many as in the run."""
    components = build_within_memory(run, folder=folder, device=device)
    if not is_checked:
        check_components(components, run, device)
    convert(components.model, policy.kernels)
    few = NUM_IMAGES if num_images >= NUM_IMAGES else FEWER_IMAGES
    setup = Setup(
        run=run,
        plan=_plan(run, few, num_views=components.num_views),
        components=components,
        policy=policy,
        world=World(0, 1, device),
    )
    model = to_device(setup)
    give_teachers(setup, open_run)
    _initialise(model, setup)
    state = initial_state(setup, model)
    state.parallel = checked = _Checked(setup)
    first = [parameter.detach().clone() for parameter in model.parameters()]
    _train(setup, state)
    with torch.no_grad():  # what is tested is what was built, whatever the learning rate did
        for parameter, value in zip(model.parameters(), first, strict=True):
            parameter.copy_(value)
    _test(setup, state, was_finite=checked.was_finite)
    if device.type == "cuda" and num_images > few:
        setup = replace(setup, plan=_plan(run, num_images, num_views=components.num_views))
        to_device(setup)  # for BatchNorm's groups
        _train(setup, state)
    return state.trial


def _works(attempt: Callable[[Policy], object], policy: Policy) -> bool:
    try:
        attempt(policy)
    except CifarzooError:
        return False
    return True


def _images_of_a_pass(run: Run, world_size: int) -> int:
    local = max(1, run.batch_size // world_size)
    return min(run.micro_batch_size or local, local)


def _plan(run: Run, num_images: int, *, num_views: int) -> Plan:
    """The sizes of a trial on ``num_images``, in groups of BatchNorm where the run has smaller."""
    group = run.bn_group_size or num_images
    return Plan(
        train_images=num_images,
        validation_images=0,
        test_images=num_images,
        batch_size=num_images,
        world_size=1,
        local_batch_size=num_images,
        micro_batch_size=num_images,
        bn_group_size=group if num_images % group == 0 else min(group, num_images, 2),
        steps_per_epoch=1,
        total_steps=run.epochs,
        num_views=num_views,
    )


def _noise(setup: Setup, num_images: int) -> Tensor:
    """Images as ``normalize`` would give them (N, C, H, W), on the device."""
    shape = (num_images, *setup.components.dataset.image_shape)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return images.to(setup.world.device, memory_format=torch.channels_last)


def _initialise(model: nn.Module, setup: Setup) -> None:
    for module in model.modules():
        if isinstance(module, DataInitialised):
            module.initialise_from(_noise(setup, NUM_INITIAL_IMAGES))
        if isinstance(module, BATCH_NORMS):
            # A test by the batch's own statistics: by the first ones, of which a step takes in
            # little, the activations of deep networks would overflow.
            module.momentum = 1.0


def _train(setup: Setup, state: TrainingState) -> None:
    """One optimizer step.

    Raises:
        ConfigError: A component failed.
    """
    num_rows, num_classes = setup.plan.num_rows, len(setup.components.dataset.classes)
    labels = torch.arange(num_rows, device=setup.world.device) % num_classes
    for part in state.timed:
        part.begin_step(setup.plan.timestamp(0))
    state.parallel.train()
    images, targets = _noise(setup, num_rows), F.one_hot(labels, num_classes).float()
    try:
        train_step(setup, state, images, targets, submit=lambda *_: [])
        if state.average is not None:
            state.average.update_parameters(state.model)
    except (CifarzooError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise _placed(setup, tuple(images.shape), error) from error


def _test(setup: Setup, state: TrainingState, *, was_finite: bool) -> None:
    """One forward pass in evaluation mode.

    Raises:
        ConfigError: The network fails, or gives something else than finite logits.
    """
    images, name = _noise(setup, setup.plan.num_rows), name_of(setup.run.architecture)
    state.model.eval()
    when = f"on images {tuple(images.shape)} in evaluation mode"
    try:
        with torch.no_grad():
            logits = state.scaler.forward(state.model, images)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise failed(name, f"{when} ({setup.policy})", error) from error
    if was_finite and not bool(torch.isfinite(logits).all()):
        raise unfit(
            name,
            f"gives logits that are not finite {when}, and finite ones in training mode; "
            "expected numbers that can be tested",
        )


class _Checked(nn.Module):
    """The network as it is called in training; what it raises, or gives, is refused in words.

    Attributes:
        was_finite: Whether the logits of the last pass were finite.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self._network = setup.components.model
        self._name = name_of(setup.run.architecture)
        self._num_classes = len(setup.components.dataset.classes)
        self._policy = setup.policy
        self.was_finite = True

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, K) of images (n, C, H, W).

        Raises:
            ConfigError: The network fails or gives something else.
        """
        shape = tuple(images.shape)
        when = f"on images {shape} in training mode"
        try:
            logits: Any = self._network(images)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise failed(self._name, f"{when} ({self._policy})", error) from error
        expected = (len(images), self._num_classes)
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            given = tuple(getattr(logits, "shape", ())) or type(logits).__name__
            raise unfit(
                self._name,
                f"gives {given} for images {shape} in training mode; expected logits {expected}",
            )
        self.was_finite = bool(torch.isfinite(logits).all())
        return logits


def _placed(setup: Setup, shape: tuple[int, ...], error: Exception) -> FailsError:
    """What ``error`` of a step is called: by the part of the step that it came through."""
    run, frames = setup.run, [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    when = f"on images {shape} in training mode ({setup.policy})"
    codes = {frame.f_code for frame in frames}
    for frame in frames:
        if frame.f_code is Wrapped.__call__.__code__:
            acting = frame.f_locals["self"].regularizer
            named = {id(r): name for name, r in setup.components.regularizers.items()}
            return failed(named[id(acting)], f"{when}, in the network stage", error)
    if StepLoss.part.__code__ in codes:
        return failed(name_of(run.loss) if run.loss else "loss", f"{when}, in the loss", error)
    if Scaler.backward.__code__ in codes:
        return failed(name_of(run.architecture), f"{when}, in the backward pass", error)
    return failed(name_of(run.optimizer), f"in its step ({setup.policy})", error)


def _too_large(num_images: int, device: torch.device) -> ConfigError:
    there = memory_of(device)
    return ConfigError(
        f"is {num_images}, and a forward and a backward pass of so many images need more than "
        f"the {(there or 0) / GIB:,.1f} GiB of this device; expected a smaller divisor of it",
        parameter="micro_batch_size",
    )
