"""Training: what the loop works with, and how it comes to be from a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from cifarzoo.components.hooks import DataInitialised
from cifarzoo.components.protocols import Augmentation, Split
from cifarzoo.components.run import Run
from cifarzoo.data.order import Indices, subset
from cifarzoo.data.store import ImageStore, digest
from cifarzoo.data.windows import windowed
from cifarzoo.engine.assembly.build import (
    Components,
    build_average,
    build_optimizer,
    is_default,
    name_of,
)
from cifarzoo.engine.assembly.dataset import read_dataset, titled
from cifarzoo.engine.assembly.dry_run import build_within_memory
from cifarzoo.engine.assembly.loss_trial import check_parts
from cifarzoo.engine.assembly.optimizer_trial import OptimizerTrial, try_optimizer
from cifarzoo.engine.assembly.plan import Plan, plan
from cifarzoo.engine.assembly.selection import check_selection, has_selection
from cifarzoo.engine.assembly.trials import check_norms, check_schedule
from cifarzoo.engine.assembly.validation import check_scaling
from cifarzoo.engine.batches import Batches, prepare_for_evaluation
from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.engine.clock import Clock
from cifarzoo.engine.device.kernels import convert
from cifarzoo.engine.device.precision import Policy, Scaler
from cifarzoo.engine.distributed.signals import StopRequest
from cifarzoo.engine.distributed.step_exchange import StepExchange, StepInfo, StepReport
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.divergence import Divergence
from cifarzoo.engine.events import Listener, WarningEvent, ignore_event
from cifarzoo.engine.initial_weights import InitialWeights
from cifarzoo.engine.state import UNSEEN, TrainingState, wrap
from cifarzoo.layers import norms
from cifarzoo.run_folders.folder import RunFolder

if TYPE_CHECKING:
    from cifarzoo.engine.step_graph import StepGraph

INITIAL_IMAGES = 5000  # given to modules that are initialised from data


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is trained, and with what: settled before the first step.

    Attributes:
        run: The run that the config describes.
        plan: Sizes of the run.
        components: What the run's factories made, the network among it.
        policy: Arithmetic of the run.
        world: Ranks of the run, and the device of this one.
    """

    run: Run
    plan: Plan
    components: Components
    policy: Policy
    world: World


@dataclass(frozen=True, kw_only=True)
class Data:
    """The images, on the device.

    Attributes:
        train: Training images.
        batches: Makes training batches of them.
        test: Test images.
        test_rows: Rows of the dataset's test split that they are, rising.
        validation: Images kept for validation; None: none are.
        digest: SHA-256 (hex) of the dataset as it was read.
    """

    train: ImageStore
    batches: Batches
    test: ImageStore
    test_rows: Indices
    validation: ImageStore | None
    digest: str


@dataclass(frozen=True, kw_only=True)
class Session:
    """One attempt at a run: where it writes, to whom it reports, and what may end it.

    Attributes:
        folder: Folder of the run.
        checkpoints: Checkpoints in that folder.
        facts: What their manifests say besides the step.
        clock: Wall time.
        divergence: Notices a loss that grows beyond what knowing nothing gives.
        exchange: The exchange between the ranks in each step.
        stop: Whether a signal came.
        emit: Passes events on to the listeners.
    """

    folder: RunFolder
    checkpoints: Checkpoints
    facts: Mapping[str, Any]
    clock: Clock
    divergence: Divergence
    exchange: StepExchange
    stop: StopRequest
    emit: Listener

    def submit(self, step: StepInfo, loss: Tensor, norm: Tensor) -> list[StepReport]:
        """Exchange what this rank knows of a step; see ``StepExchange.submit``."""
        return self.exchange.submit(
            step,
            loss,
            norm,
            signal_number=self.stop.number,
            save_due=self.clock.is_due_by_time(),
        )


@dataclass(frozen=True, kw_only=True)
class Training:
    """A run under way.

    Attributes:
        setup: Run, sizes, components, arithmetic and ranks.
        data: Images on the device.
        state: Network, optimizer and numbers, which a step changes.
        session: Attempt at the run that is under way.
        graph: Takes the steps, captured ones where there are any.
    """

    setup: Setup
    data: Data
    state: TrainingState
    session: Session
    graph: StepGraph


def prepare(
    run: Run,
    *,
    folder: Path | None,
    world: World,
    policy: Policy,
    initial: InitialWeights | None = None,
    tried: OptimizerTrial | None = None,
) -> tuple[Setup, Data, TrainingState]:
    """Build the network, which was tried before, read the data and put both where they train.

    Args:
        run: Run that is trained.
        folder: Folder of the data; None: not known.
        world: Ranks of the run.
        policy: Arithmetic of the run.
        initial: Weights that it starts from; None: as the network is built.
        tried: What a trial has found of its optimizer; None: it is tried here.

    Raises:
        ConfigError: Settings that don't fit each other, the dataset or the ranks; or no initial
            weights are of this network.
        DataError: The dataset is missing, damaged or of another shape.
    """
    # What can be refused without the data is refused before they are read.
    components = build_within_memory(run, folder=folder, device=world.device)
    matched = initial.matched(components.model) if initial else None
    train, test = read_dataset(components.dataset)
    components = replace(components, dataset=titled(components.dataset, train, test))
    setup = settle(run, components, (train, test), world=world, policy=policy)
    check_norms(components.model, setup.plan, name=name_of(run.architecture))
    check_selection(components.regularizers, seed=run.seed, plan=setup.plan)
    model = to_device(setup)
    data = place(setup, train, test)
    # Before there is an optimizer or an average, which may copy the weights.
    initialise(model, data.train, components.augmentations)
    if matched:
        matched.load_into(model)
    return setup, data, initial_state(setup, model, tried)


def settle(
    run: Run, components: Components, splits: tuple[Split, Split], *, world: World, policy: Policy
) -> Setup:
    """Fix the sizes of a run whose data are read, its network having the engine's layers.

    Args:
        run: Run that is trained.
        components: What its factories made; the network's layers change.
        splits: Training and test images.
        world: Ranks of the run.
        policy: Arithmetic of the run.

    Raises:
        ConfigError: Sizes that don't fit each other, or a schedule that doesn't fit them.
    """
    # Plugins' layers too: BatchNorm's groups and dropout's masks then don't depend on ranks.
    model = convert(components.model, policy.kernels)
    sizes = plan(
        run,
        num_train=len(splits[0].labels),
        num_test=len(splits[1].labels),
        world_size=world.size,
        has_batch_norm=bool(norms.batch_norms(model)),
        num_views=components.num_views,
    )
    check_schedule(components.schedule, sizes, name=name_of(run.schedule))
    check_parts(components, sizes, name=components.loss_maker(run))
    return Setup(run=run, plan=sizes, components=components, policy=policy, world=world)


def to_device(setup: Setup) -> nn.Module:
    """The network, put where it trains, its BatchNorms knowing their groups."""
    model = setup.components.model.to(setup.world.device)
    if setup.policy.weights is not torch.float32:
        model = model.to(setup.policy.weights)
    if setup.policy.channels_last:
        model = model.to(memory_format=torch.channels_last)
    gather = setup.world.groups_of(setup.plan.bn_ranks)
    for module in norms.batch_norms(model):
        module.gather = gather
    tell_norms(model, setup.plan)
    return model


def tell_norms(model: nn.Module, sizes: Plan) -> None:
    """Tell the norms of a network how many images share statistics."""
    for module in norms.batch_norms(model):
        module.batch_size = sizes.micro_batch_size * sizes.num_views
        module.group_size = None if module.gather else sizes.bn_group_size * sizes.num_views


def place(setup: Setup, train: Split, test: Split) -> Data:
    """The images that the run uses, on the device."""
    sizes, components = setup.plan, setup.components
    store = partial(
        ImageStore, num_classes=len(components.dataset.classes), device=setup.world.device
    )
    chosen, kept = train_rows(sizes, len(train.labels))
    _, frame = windowed(components.augmentations, image_size=components.dataset.image_shape[1:])
    test_rows = subset(len(test.labels), sizes.test_images)
    train_store = store(train, chosen=chosen, frame=frame)
    return Data(
        train=train_store,
        batches=Batches(train_store, components, sizes, seed=setup.run.seed, world=setup.world),
        test=store(test, chosen=test_rows),
        test_rows=test_rows,
        validation=store(train, chosen=kept) if sizes.validation_images else None,
        digest=digest(train, test),
    )


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


def initial_state(
    setup: Setup, model: nn.Module, tried: OptimizerTrial | None = None
) -> TrainingState:
    """The state of a run before its first step, over the network's first weights.

    Args:
        setup: Run, sizes, components, arithmetic and ranks.
        model: The network, on the device.
        tried: What a trial has found of the optimizer; None: it is tried here.

    Raises:
        ConfigError: An optimizer that refuses its settings or can't be used in the run's
            precision, or more than one average.
    """
    optimizer, base_rates = build_optimizer(
        setup.run, setup.components, model, compute_dtype=setup.policy.products
    )
    check_scaling(optimizer, is_scaled=setup.policy.scales_losses)
    selects = has_selection(setup.components.regularizers)
    average = build_average(setup.components, model)  # a copy of the network: not of a compiled one
    return TrainingState(
        model=model,
        parallel=wrap(model, setup.components.regularizers, world=setup.world, policy=setup.policy),
        optimizer=optimizer,
        base_rates=base_rates,
        average=average,
        scaler=Scaler(setup.policy, setup.world.device),
        trial=tried
        or try_optimizer(setup.run, setup.components, optimizer, device=setup.world.device),
        losses=torch.full((setup.plan.train_images,), UNSEEN) if selects else None,
    )


def open_session(
    setup: Setup,
    data: Data,
    folder: RunFolder,
    *,
    facts: Mapping[str, Any],
    stop: StopRequest,
    emit: Listener,
) -> Session:
    """An attempt at a run, which writes nothing yet.

    Args:
        setup: Run, sizes, components, arithmetic and ranks.
        data: Images on the device.
        folder: Folder of the run.
        facts: What the manifests of checkpoints say besides the step.
        stop: Whether a signal came.
        emit: Receives events.
    """
    num_classes = len(setup.components.dataset.classes)
    return Session(
        folder=folder,
        checkpoints=Checkpoints(
            folder.checkpoints,
            keep=setup.run.keep_checkpoints,
            warn=lambda message: emit(WarningEvent(message=message)),
        ),
        facts=facts,
        clock=Clock(setup.run, setup.plan),
        divergence=Divergence(num_classes if is_default(setup.run.loss, "loss") else None),
        exchange=StepExchange(
            setup.world,
            images_of=lambda step, rank: data.batches.indices(step, rank=rank)[:4],
            may_overflow=setup.policy.scales_losses,
            delay=setup.policy.delay,
        ),
        stop=stop,
        emit=emit,
    )


def unwritten_training(
    setup: Setup, data: Data, state: TrainingState, graph: StepGraph
) -> Training:
    """A training whose steps are taken one by one, to be looked at; nothing is written or said.

    Args:
        setup: Run, sizes, components, arithmetic and ranks.
        data: Images on the device.
        state: State before the first step.
        graph: What takes the steps.
    """
    folder = RunFolder(Path("not-written"))
    session = open_session(setup, data, folder, facts={}, stop=StopRequest(), emit=ignore_event)
    state.parallel.train()
    session.clock.start()
    return Training(setup=setup, data=data, state=state, session=session, graph=graph)


def train_rows(sizes: Plan, num_train: int) -> tuple[Indices, Indices]:
    """The rows of the training set that are trained on, and those kept for validation."""
    used = subset(num_train, sizes.train_images + sizes.validation_images)
    chosen = subset(len(used), sizes.train_images)
    kept = subset(len(used), sizes.train_images, rest=True)
    return used[chosen], used[kept]
