"""What a run has learned: its weights, read from its checkpoints, and how they do on test images.

No optimizer is made for it, training images are put on the device only where averaged weights have
no running statistics yet, and nothing in the run's folder changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import nn

from cifarzoo.components.protocols import Split
from cifarzoo.components.run import Run
from cifarzoo.data.order import subset
from cifarzoo.data.store import ImageStore, digest
from cifarzoo.engine.assembly.build import Components, build, build_average
from cifarzoo.engine.assembly.companions import remove_companions
from cifarzoo.engine.assembly.dataset import read_dataset
from cifarzoo.engine.assembly.dry_run import build_within_memory
from cifarzoo.engine.checkpoint import Checkpoints, Loaded
from cifarzoo.engine.device.precision import Scaler, choose, numerics
from cifarzoo.engine.distributed.world import init_distributed
from cifarzoo.engine.evaluation import offers_views, score
from cifarzoo.engine.events import EvaluationEvent, Listener, Score, WarningEvent
from cifarzoo.engine.fitting import check_average, check_tensors, fitting
from cifarzoo.engine.resume import SHORT, trained_data
from cifarzoo.engine.running_statistics import are_recomputed, recomputed
from cifarzoo.engine.state import digest_of
from cifarzoo.engine.training import Setup, settle, to_device, train_rows
from cifarzoo.errors import CheckpointError, UsageError
from cifarzoo.layers import dropout, norms
from cifarzoo.run_folders.folder import RunFolder

Weights: TypeAlias = Literal["tested", "last", "average", "best"]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A run's network with weights of one of its checkpoints.

    Attributes:
        network: The network on the CPU, in evaluation mode.
        components: What the run's factories made, such as the augmentations of test images; the
            dataset isn't read.
        step: Optimizer steps that the weights were trained for.
    """

    network: nn.Module
    components: Components
    step: int


def load_trained(
    run: Run,
    folder: RunFolder,
    *,
    weights: Weights = "tested",
    warn: Callable[[str], None] = lambda _message: None,
) -> Trained:
    """Build a run's network, without data, and load weights of its checkpoints.

    Args:
        run: Run that was trained.
        folder: Folder of the run.
        weights: ``tested``: the newest ones, averaged where a regularizer averages; ``last``: the
            newest ones as the optimizer left them; ``average``: the newest average; ``best``:
            those that were tested when the error on the validation images was lowest.
        warn: Receives which checkpoints are damaged and passed over.

    Raises:
        CheckpointError: There is none yet, none is whole, or they don't fit the run.
        UsageError: The best weights are asked for, and the run keeps no validation images; or
            averaged ones, and it averages none.
        ConfigError: A factory refused its parameters, or components don't fit together.
    """
    checkpoints = Checkpoints(folder.checkpoints, keep=run.keep_checkpoints, warn=warn)
    if not checkpoints.steps():
        raise CheckpointError(f"{folder.path} has no checkpoint yet")
    components = build(run, folder=None)
    model = dropout.convert(norms.convert(components.model))
    if run.precision == "float64":
        model = model.double()
    found = load_weights(weights, checkpoints, folder, model, components)
    if not found.is_whole:
        warn(
            f"the averaged weights of step {found.loaded.step} have no running statistics of their "
            "own yet, which are computed at the end of a run; those of the weights that were "
            "trained are in their place; cifarzoo eval computes them"
        )
    network = found.network.eval()
    remove_companions(network)  # whose only use is in training
    return Trained(network=network, components=components, step=found.loaded.step)


def evaluate_run(
    run: Run,
    folder: RunFolder,
    *,
    data: Path | None,
    emit: Listener,
    weights: Weights = "tested",
) -> EvaluationEvent:
    """Test weights of a run, on one process.

    Args:
        run: Run that was trained.
        folder: Folder of the run.
        data: Folder of the data; None: not known.
        emit: Receives warnings.
        weights: Which ones; see ``load_trained``.

    Raises:
        CheckpointError: There is none yet, none is whole, or they don't fit the run.
        UsageError: The run has no such weights.
        ConfigError: Settings that don't fit each other or the dataset.
        DataError: The dataset is missing, damaged or of another shape.
    """
    # Tests do without BatchNorm's groups, which may fit the ranks that trained and not one, and
    # without our kernels, which are for training and may be missing here.
    run = replace(run, bn_group_size=1, kernels="torch")
    checkpoints = Checkpoints(
        folder.checkpoints,
        keep=run.keep_checkpoints,
        warn=lambda message: emit(WarningEvent(message=message)),
    )
    with init_distributed() as world:
        policy = choose(run, world.device)
        with numerics(policy, strict=bool(run.deterministic)):
            components = build_within_memory(run, folder=data, device=world.device)
            train, test = read_dataset(components.dataset)
            setup = settle(run, components, (train, test), world=world, policy=policy)
            found = load_weights(weights, checkpoints, folder, to_device(setup), components)
            loaded, network = found.loaded, found.network
            here, there = digest(train, test), trained_data(folder, loaded)
            if there not in (None, here):
                emit(WarningEvent(message=_other_data(folder, str(there), here)))
            if not found.is_whole:
                network = _with_statistics(setup, network, train, emit)
            tested, tta_test = _scores(setup, network, test)
    return EvaluationEvent(
        run=str(folder.path),
        step=loaded.step,
        steps=setup.plan.total_steps,
        test=tested,
        tta_test=tta_test,
        test_images=setup.plan.test_images,
        weights=weights,
        weights_sha256=digest_of(network.state_dict()),
        data_sha256=here,
        is_data_of_training=None if there is None else there == here,
    )


def _other_data(folder: RunFolder, there: str, here: str) -> str:
    return (
        f"{folder.path} was trained with other data: SHA-256 {there[:SHORT]}… there and "
        f"{here[:SHORT]}… here; this is a test on other images or labels"
    )


def _with_statistics(setup: Setup, network: nn.Module, train: Split, emit: Listener) -> nn.Module:
    """An averaged network with running statistics of its own, from all training images."""
    chosen, _ = train_rows(setup.plan, len(train.labels))
    device = setup.world.device
    num_classes = len(setup.components.dataset.classes)
    store = ImageStore(train, num_classes=num_classes, device=device, chosen=chosen)
    scaler = Scaler(setup.policy, device)
    return recomputed(setup, network, scaler, store, num_images=len(store), emit=emit)


def _scores(setup: Setup, network: nn.Module, test: Split) -> tuple[Score, Score | None]:
    """On the test images, and on several views of them where there are any."""
    device = setup.world.device
    store = ImageStore(
        test,
        num_classes=len(setup.components.dataset.classes),
        device=device,
        chosen=subset(len(test.labels), setup.plan.test_images),
    )
    scaler = Scaler(setup.policy, device)
    tested = score(setup, network, scaler, store)
    if not offers_views(setup):
        return tested, None
    return tested, score(setup, network, scaler, store, views=True)


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A network with the weights of a checkpoint.

    Attributes:
        network: The network, or the average of it.
        is_whole: Whether it has running statistics that belong to its weights.
        loaded: Checkpoint that they are of.
    """

    network: nn.Module
    is_whole: bool
    loaded: Loaded


def load_weights(
    weights: Weights,
    checkpoints: Checkpoints,
    folder: RunFolder,
    model: nn.Module,
    components: Components,
) -> Restored:
    """The network with the weights of that name.

    Args:
        weights: Which ones; see ``load_trained``.
        checkpoints: Checkpoints of the run, one at least.
        folder: Folder of the run.
        model: The network, with the engine's layers.
        components: What the run's factories made.

    Raises:
        CheckpointError: None is whole, of this config and of this network.
        UsageError: The run has no such weights.
    """
    found: list[Restored] = []

    def use(loaded: Loaded) -> None:
        if weights == "average" and loaded.state["average"] is None:
            raise UsageError(
                f"{folder.path} has no averaged weights; expected a run with a regularizer that "
                "averages them, such as ema"
            )
        found.append(restored(model, components, loaded, is_averaged=weights != "last"))

    newest = checkpoints.load(folder.config_digest, use)
    if newest is None:
        raise CheckpointError(f"{folder.path} has no checkpoint yet")
    if weights == "best" and (step := _best_step(newest, folder)) != newest.step:
        use(checkpoints.read(step))
    return found[-1]


def restored(
    model: nn.Module, components: Components, loaded: Loaded, *, is_averaged: bool
) -> Restored:
    """The network with the weights of a checkpoint.

    Args:
        model: The network, with the engine's layers.
        components: What the run's factories made.
        loaded: The checkpoint.
        is_averaged: Whether averaged weights are taken, where a regularizer averages.

    Raises:
        MisfitError: They are not of this network.
    """
    state = loaded.state
    average = build_average(components, model) if is_averaged else None
    with fitting(), torch.no_grad():
        check_tensors(model.state_dict(), state["model"], "model")
        model.load_state_dict(state["model"])
        if average is None:
            return Restored(network=model, is_whole=True, loaded=loaded)
        check_average(average, state, loaded.step)
        average.load_state_dict(state["average"])
        statistics = state.get("statistics")
        if statistics is not None:
            average.module.load_state_dict(statistics, strict=False)
    is_whole = statistics is not None or not are_recomputed(average)
    return Restored(network=average.module, is_whole=is_whole, loaded=loaded)


def _best_step(newest: Loaded, folder: RunFolder) -> int:
    """The step of the best weights on validation.

    Raises:
        UsageError: The run has none.
    """
    step: int | None = newest.state["numbers"]["best_step"]
    if step is None:
        raise UsageError(
            f"{folder.path} has no best weights, which are chosen on validation images; "
            "expected a run with run.validation_images, tested at least once"
        )
    return step
