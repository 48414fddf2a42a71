"""Training: all that the loop works with, and how it comes to be from a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cifarzoo.components.hooks import DataInitialised
from cifarzoo.components.protocols import Augmentation
from cifarzoo.components.run import Run
from cifarzoo.data.order import subset
from cifarzoo.data.store import ImageStore, digest
from cifarzoo.data.windows import windowed
from cifarzoo.engine.assembly.build import Components, build, build_optimizer, name_of
from cifarzoo.engine.assembly.dataset import read_dataset
from cifarzoo.engine.assembly.dry_run import dry_run
from cifarzoo.engine.assembly.plan import Plan, plan
from cifarzoo.engine.assembly.validation import check_scaling, check_schedule
from cifarzoo.engine.batches import Batches, prepare_for_evaluation
from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.engine.clock import Clock
from cifarzoo.engine.device.compiling import compile_network
from cifarzoo.engine.device.precision import Policy, Scaler
from cifarzoo.engine.distributed.signals import StopRequest
from cifarzoo.engine.distributed.step_exchange import StepExchange
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.divergence import Divergence
from cifarzoo.engine.events import Listener
from cifarzoo.engine.state import TrainingState
from cifarzoo.layers import batch_norm as norm
from cifarzoo.layers import dropout
from cifarzoo.runs.folder import RunFolder

INITIAL_IMAGES = 5000  # given to modules that are initialised from data


@dataclass(kw_only=True)
class Training:
    """All that the loop works with.

    Attributes:
        run: What is trained.
        plan: Its sizes.
        components: What its factories made.
        state: What a step changes.
        parallel: The network as it is called: compiled, gradients averaged over ranks.
        batches: Makes training batches.
        test: The test images.
        validation: The validation images, where some are kept.
        data_digest: SHA-256 of the dataset as it was read.
        world: The ranks.
        policy: The arithmetic.
        folder: Where results go.
        checkpoints: Of this run.
        facts: What manifests say besides the step.
        clock: Wall time.
        divergence: Whether the loss grows beyond chance.
        agreement: The exchange between the ranks in each step.
        stop: Whether a signal came.
        emit: Passes events on to the listeners.
    """

    run: Run
    plan: Plan
    components: Components
    state: TrainingState
    parallel: nn.Module
    batches: Batches
    test: ImageStore
    validation: ImageStore | None
    data_digest: str
    world: World
    policy: Policy
    folder: RunFolder
    checkpoints: Checkpoints
    facts: dict[str, Any]
    clock: Clock
    divergence: Divergence
    exchange: StepExchange
    stop: StopRequest
    emit: Listener


def prepare(
    run: Run,
    *,
    data: Path | None,
    world: World,
    policy: Policy,
    folder: RunFolder,
    facts: dict[str, Any],
    stop: StopRequest,
    emit: Listener,
) -> Training:
    """Read the data, build the network and put it where it trains.

    Raises:
        ConfigError: Settings that don't fit each other, the dataset or the ranks.
        DataError: The dataset is missing, damaged or of another shape.
    """
    dry_run(run, folder=data, device=world.device)
    components = build(run, folder=data)
    train, test = read_dataset(components.dataset)
    num_classes = len(components.dataset.classes)
    model = dropout.convert(norm.convert(components.model))
    sizes = plan(
        run,
        num_train=len(train.labels),
        num_test=len(test.labels),
        world_size=world.size,
        has_batch_norm=bool(norm.batch_norms(model)),
        num_views=components.num_views,
    )
    check_schedule(components.schedule, sizes, name=name_of(run.schedule))
    model = to_device(model, sizes, world=world, policy=policy)
    store = partial(ImageStore, num_classes=num_classes, device=world.device)
    chosen, kept = _train_rows(sizes, len(train.labels))
    _, frame = windowed(components.augmentations, image_size=components.dataset.image_shape[1:])
    train_store = store(train, chosen=chosen, frame=frame)
    initialise(model, train_store, components.augmentations)
    optimizer, base_rates, average = build_optimizer(run, components, model)
    scaler = Scaler(policy, world.device)
    check_scaling(optimizer, is_scaled=scaler.may_overflow)
    state = TrainingState(
        model=model,
        optimizer=optimizer,
        base_rates=base_rates,
        average=average,
        scaler=scaler,
    )
    batches = Batches(train_store, components, sizes, seed=run.seed, world=world)
    return Training(
        run=run,
        plan=sizes,
        components=components,
        state=state,
        parallel=wrap(model, world=world, policy=policy),
        batches=batches,
        test=store(test, chosen=subset(len(test.labels), sizes.test_images)),
        validation=store(train, chosen=kept) if sizes.validation_images else None,
        data_digest=digest(train, test),
        world=world,
        policy=policy,
        folder=folder,
        checkpoints=Checkpoints(
            folder.checkpoints,
            keep=run.keep_checkpoints,
            warn=lambda message: emit({"event": "warning", "message": message}),
        ),
        facts=facts,
        divergence=Divergence(num_classes),
        clock=Clock(run, total_steps=sizes.total_steps, steps_per_epoch=sizes.steps_per_epoch),
        exchange=StepExchange(
            world,
            images_of=lambda step, rank: batches.indices(step, rank=rank)[:4],
            may_overflow=state.scaler.may_overflow,
            delay=policy.delay,
        ),
        stop=stop,
        emit=emit,
    )


def to_device(model: nn.Module, sizes: Plan, *, world: World, policy: Policy) -> nn.Module:
    """Put a network where it trains, its BatchNorms knowing their groups."""
    model = model.to(world.device)
    if policy.weights is not torch.float32:
        model = model.to(policy.weights)
    if policy.channels_last:
        model = model.to(memory_format=torch.channels_last)
    gather = world.groups_of(sizes.bn_ranks)
    for module in norm.batch_norms(model):
        module.gather = gather
        module.group_size = None if gather else sizes.bn_group_size * sizes.num_views
    return model


def initialise(
    model: nn.Module, store: ImageStore, augmentations: Mapping[str, Augmentation]
) -> None:
    """Give the first training images to the modules that take their first weights from them."""
    modules = [module for module in model.modules() if isinstance(module, DataInitialised)]
    if modules:
        first, _ = store.batch(np.arange(min(len(store), INITIAL_IMAGES)))
        images = prepare_for_evaluation(augmentations, first)
        for module in modules:
            module.initialise_from(images)


def trainable(model: nn.Module) -> list[bool]:
    """Which of the parameters are trained."""
    return [parameter.requires_grad for parameter in model.parameters()]


def wrap(model: nn.Module, *, world: World, policy: Policy) -> nn.Module:
    """The network as the loop calls it."""
    parallel = world.parallel(model)
    if policy.compile:
        compile_network(parallel)
    return parallel


def _train_rows(sizes: Plan, num_train: int) -> tuple[Any, Any]:
    """The rows of the training set that are trained on, and those kept for validation."""
    used = subset(num_train, sizes.train_images + sizes.validation_images)
    chosen = subset(len(used), sizes.train_images)
    kept = subset(len(used), sizes.train_images, rest=True)
    return used[chosen], used[kept]
