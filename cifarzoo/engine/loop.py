"""The loop: order, augment, forward, loss, backward, step, average, by name and in this order.

Everything that changes a number is called here. Listeners receive events and change nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial, reduce

from torch import nn

from cifarzoo.engine.assembly.trained_parameters import check_trained
from cifarzoo.engine.device.compiling import forget_compiled
from cifarzoo.engine.distributed.step_exchange import StepReport
from cifarzoo.engine.evaluation import offers_views, score
from cifarzoo.engine.events import (
    CheckpointEvent,
    CompiledEvent,
    EpochEvent,
    Speed,
    WarningEvent,
    to_json,
)
from cifarzoo.engine.recorder import (
    TEST,
    TTA_TEST,
    Recorder,
    keep_recorded,
    recorders,
    spare_predictions,
)
from cifarzoo.engine.running_statistics import EPOCH_IMAGES, are_recomputed, recomputed
from cifarzoo.engine.selection import select
from cifarzoo.engine.state import Statistics, TrainingState, wrap
from cifarzoo.engine.training import Setup, Training
from cifarzoo.errors import CifarzooError, StoppedError
from cifarzoo.layers.norms import named_statistics
from cifarzoo.randomness.global_generators import seed_generators


def fit(training: Training) -> None:
    """Train from where ``training.state`` stands to the end of the run.

    Raises:
        StoppedError: A signal came; a checkpoint of the step then done was saved.
        CifarzooError: A signal came, and the checkpoint could not be written.
        NotFiniteError: The loss, a gradient or what would be saved is not finite.
    """
    plan, state, session = training.setup.plan, training.state, training.session
    state.parallel.train()
    session.clock.start()
    while state.step < plan.total_steps:
        report = advance(training)
        is_done = state.step == plan.total_steps
        ends_epoch = is_done or state.step % plan.steps_per_epoch == 0
        is_due = session.clock.is_due_by_step(state.step)
        # What follows is decided by what all ranks know alike: a rank that tested or saved by
        # its own clock would leave the others waiting in the next step's exchange.
        if ends_epoch or is_due or report.save_due or report.signal:
            # On a GPU the newest losses are still on their way; nothing is tested or saved before
            # they are known to be finite.
            report = report.merged(record_losses(training, session.exchange.flush()))
        if ends_epoch:
            end_epoch(training)
        if is_done or is_due or report.save_due or report.signal:
            save(training)
        # Only after the save; and a run that is done has its result, whatever signal came.
        if report.signal and not is_done:
            raise stopped(training, report.signal_name)


def advance(training: Training) -> StepReport:
    """One optimizer step, from its learning rate to the averaged weights."""
    setup, state = training.setup, training.state
    begin_step(setup, state)
    of_batch = training.data.batches.of_step(state.step)
    selection = select(setup, state, of_batch)
    images, targets = training.data.batches(state.step, selection.rows)
    reports = training.graph.train_step(
        selection.setup,
        state,
        images,
        targets,
        submit=training.session.submit,
        note=None if state.losses is None else selection.note,
    )
    selection.remember(state, of_batch)
    if state.average is not None:
        state.average.update_parameters(state.model)
    state.progress.step += 1
    report = record_losses(training, reports)
    emit_step(training)
    return report


def begin_step(setup: Setup, state: TrainingState) -> None:
    """Bring the learning rate, and all that is ``Timed``, to where training stands."""
    timestamp = setup.plan.timestamp(state.step)
    # Set anew from the base rates, not multiplied on: a resumed run needs no scheduler's state.
    state.set_rate(setup.components.schedule(timestamp))
    if not state.timed:
        return
    trained = state.trained
    seed_generators(setup.run.seed, "torch", "begin_step", state.step)
    for part in state.timed:
        part.begin_step(timestamp)
    if state.trained != trained:
        check_trained(state.model, state.optimizer, step=state.step)
        if setup.policy.compile:
            forget_compiled()
        # DDP waits for the gradients that it knew of.
        state.parallel = wrap(
            state.model, setup.components.regularizers, world=setup.world, policy=setup.policy
        )


def record_losses(training: Training, reports: Sequence[StepReport]) -> StepReport:
    """Count the losses that are known by now; give what the steps they are of ask for."""
    state, session = training.state, training.session
    for report in reports:
        state.note_loss(report.loss)
        message = session.divergence.message(report.loss, step=state.step)
        if message is not None:
            session.emit(WarningEvent(message=message))
    return reduce(StepReport.merged, reports, StepReport(state.last_loss))


def emit_step(training: Training) -> None:
    """Count the step, and report it now and then."""
    session = training.session
    session.clock.count_step()
    seconds = session.clock.first_step_seconds()
    if seconds is not None and training.setup.policy.compile:
        session.emit(CompiledEvent(seconds=seconds))
    event = session.clock.step_event(training.state)
    if event is not None:
        session.emit(event)


def end_epoch(training: Training) -> None:
    """Test, write the epoch's line of metrics and report it."""
    setup, state, session = training.setup, training.state, training.session
    session.clock.pause(state.progress)
    speed = session.clock.end_epoch()
    state.check_finite()
    is_done = state.step == setup.plan.total_steps
    recorded = recorders(training, has_views=offers_views(setup)) if is_done else {}
    event = tested_epoch(training, speed, recorded)
    state.progress.begin_epoch()
    message = session.divergence.tests_message(event.tests, epoch=event.epoch)
    if message is not None:
        session.emit(WarningEvent(message=message))
    is_best = (
        event.validation is not None
        and event.validation.is_finite
        and state.progress.note_validation(event.validation.error)
    )
    # Metrics come before the checkpoint that counts them: a kill between the two leaves a line
    # too many, which resuming cuts, and never one too few. So do the predictions, which a run
    # that goes on from its last checkpoint doesn't make again.
    if setup.world.is_main:
        session.folder.append_metrics(to_json(event))
    session.emit(event)
    if recorded:
        keep_recorded(training, recorded, event)
    if is_best:
        save(training)
    session.clock.start()


def tested_epoch(training: Training, speed: Speed, recorded: Mapping[str, Recorder]) -> EpochEvent:
    """Test the epoch's weights.

    Args:
        training: The run.
        speed: How fast the epoch was.
        recorded: Recorders by the name of their test, at the end of the run; several views of the
            test images are tested only if there is one for them.
    """
    setup, state, data = training.setup, training.state, training.data
    network, scaler = tested_network(training), state.scaler
    return EpochEvent(
        epoch=math.ceil(state.step / setup.plan.steps_per_epoch),
        epochs=math.ceil(setup.plan.total_epochs),
        step=state.step,
        train_loss=state.progress.mean_loss,
        test=score(setup, network, scaler, data.test, recorder=recorded.get(TEST)),
        lr=state.rate,
        speed=speed,
        tta_test=score(setup, network, scaler, data.test, views=True, recorder=recorded[TTA_TEST])
        if TTA_TEST in recorded
        else None,
        validation=score(setup, network, scaler, data.validation) if data.validation else None,
    )


def tested_network(training: Training) -> nn.Module:
    """The network that is tested, an average with running statistics of its own if it needs them.

    From all training images where the test may be a result or a choice: at the end of the run,
    and in runs that keep validation images.
    """
    setup, state, train = training.setup, training.state, training.data.train
    if state.average is None or not are_recomputed(state.average):
        return state.evaluated
    chooses = state.step == setup.plan.total_steps or training.data.validation is not None
    num_images = len(train) if chooses else min(EPOCH_IMAGES, len(train))
    network = recomputed(
        setup,
        state.evaluated,
        state.scaler,
        train,
        num_images=num_images,
        emit=training.session.emit,
    )
    if num_images == len(train):
        state.statistics = Statistics(step=state.step, tensors=named_statistics(network))
    return network


def save(training: Training) -> None:
    """Write a checkpoint of the step just done, which rank 0 does; all check that it is finite."""
    state, session = training.state, training.session
    if session.checkpoints.saved_step == state.step:
        return
    session.clock.pause(state.progress)
    # On every rank, and before rank 0 writes: what one rank refuses, none saves.
    state.check_finite()
    if training.setup.world.is_main:
        started = time.monotonic()
        written = session.checkpoints.save(
            state.step,
            {**state.state_dict(), "metrics_size": session.folder.metrics_size},
            facts=session.facts,
            best=state.progress.best_step,
            make_room=partial(spare_predictions, training),
        )
        if written:
            seconds = time.monotonic() - started
            session.emit(CheckpointEvent(step=state.step, seconds=seconds))
    session.clock.saved()
    session.clock.start()


def stopped(training: Training, signal: str) -> CifarzooError:
    """How a run ends that a signal stopped: what to say depends on whether it could be saved."""
    step = training.state.step
    # From rank 0, which all wait for: one that left would end the others while it writes.
    was_saved = training.setup.world.broadcast(training.session.checkpoints.saved_step == step)
    text = f"stopped by {signal} after step {step} of {training.setup.plan.total_steps}"
    if was_saved:
        return StoppedError(f"{text}, with a checkpoint", step=step, signal=signal)
    return CifarzooError(f"{text}, and its checkpoint could not be written")
