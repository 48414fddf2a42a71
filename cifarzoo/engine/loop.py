"""The loop: order, augment, forward, loss, backward, step, average, by name and in this order.

Everything that changes a number is called here. Listeners hear of it and change nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial, reduce

from cifarzoo.components.hooks import SupportsViews
from cifarzoo.data.store import ImageStore
from cifarzoo.engine.batches import prepare_for_evaluation, views_of
from cifarzoo.engine.distributed.step_exchange import StepReport
from cifarzoo.engine.evaluation import Score, Views, evaluate
from cifarzoo.engine.events import Event
from cifarzoo.engine.step import train_step
from cifarzoo.engine.training import Training, trainable, wrap
from cifarzoo.errors import CifarzooError, StoppedError

# On a CPU 64 images stay in its cache: 1.2 times as fast as 500. A GPU is filled by many.
EVALUATION_BATCH = {"cpu": 64, "cuda": 1000}


def fit(training: Training) -> None:
    """Train from where ``training.state`` stands to the end of the run.

    Raises:
        StoppedError: A signal came; a checkpoint of the step then done was saved.
        CifarzooError: A signal came, and the checkpoint could not be written.
        NotFiniteError: The loss, a gradient or what would be saved is not finite.
    """
    state, plan = training.state, training.plan
    training.parallel.train()
    training.clock.start()
    while state.step < plan.total_steps:
        report = advance(training)
        is_done = state.step == plan.total_steps
        ends_epoch = is_done or state.step % plan.steps_per_epoch == 0
        is_due = training.clock.is_due_by_step(state.step)
        if ends_epoch or is_due or report.save_due or report.signal:
            report = report.merged(record_losses(training, training.exchange.flush()))
        if ends_epoch:
            end_epoch(training)
        if is_done or is_due or report.save_due or report.signal:
            save(training)
        if report.signal and not is_done:
            raise stopped(training, report.signal_name)


def advance(training: Training) -> StepReport:
    """One optimizer step, from its learning rate to the averaged weights."""
    state = training.state
    begin_step(training)
    images, targets = training.batches(state.step)
    reports = train_step(training, images, targets)
    if state.average is not None:
        state.average.update_parameters(state.model)
    state.step += 1
    report = record_losses(training, reports)
    emit_step(training)
    return report


def record_losses(training: Training, reports: Sequence[StepReport]) -> StepReport:
    """Count the losses that are known by now; give what the steps they are of ask for."""
    for report in reports:
        training.state.note_loss(report.loss)
        message = training.divergence.message(report.loss, step=training.state.step)
        if message is not None:
            training.emit({"event": "warning", "message": message})
    return reduce(StepReport.merged, reports, StepReport(training.state.last_loss))


def begin_step(training: Training) -> None:
    """Bring the learning rate, and all that is ``Timed``, to where training stands."""
    state, timestamp = training.state, training.plan.timestamp(training.state.step)
    state.set_rate(training.components.schedule(timestamp))
    if not state.timed:
        return
    trained = trainable(state.model)
    for part in state.timed:
        part.begin_step(timestamp)
    if trainable(state.model) != trained:  # DDP waits for the gradients that it knew of
        training.parallel = wrap(state.model, world=training.world, policy=training.policy)


def stopped(training: Training, signal: str) -> CifarzooError:
    """How a run ends that a signal stopped: what to say depends on whether it could be saved."""
    state = training.state
    # From rank 0, which all wait for: one that left would end the others while it writes.
    was_saved = training.world.broadcast(state.saved_step == state.step)
    text = f"stopped by {signal} after step {state.step} of {training.plan.total_steps}"
    if was_saved:
        return StoppedError(f"{text}, with a checkpoint", step=state.step, signal=signal)
    return CifarzooError(f"{text}, and its checkpoint could not be written")


def emit_step(training: Training) -> None:
    """Count the step, and tell of it now and then."""
    training.clock.count_step()
    event = training.clock.step_event(training.state)
    if event is not None:
        training.emit(event)


def end_epoch(training: Training) -> None:
    """Test, write the epoch's line of metrics and tell of it."""
    state, plan = training.state, training.plan
    training.clock.pause(state)
    seconds, images_per_second = training.clock.end_epoch()
    state.check_finite()
    tested = score(training, training.test)
    event: Event = {
        "event": "epoch",
        "epoch": math.ceil(state.step / plan.steps_per_epoch),
        "epochs": math.ceil(plan.total_epochs),
        "step": state.step,
        "train_loss": state.loss_sum / state.loss_steps,
        "test_loss": tested.loss,
        "test_error": tested.error,
        "lr": state.rate,
        "images_per_second": images_per_second,
        "seconds": seconds,
    }
    state.loss_sum, state.loss_steps = 0.0, 0
    if state.step == plan.total_steps:
        event |= score_in_views(training)
    is_best = False
    if training.validation is not None:
        validated = score(training, training.validation)
        event |= {"validation_loss": validated.loss, "validation_error": validated.error}
        is_best = state.note_validation(validated.error)
    if training.world.is_main:
        training.folder.append_metrics(event)
    training.emit(event)
    if is_best:
        save(training)
    training.clock.start()


def score_in_views(training: Training) -> Event:
    """Test it on the test images in several views too, where an augmentation offers them."""
    augmentations = training.components.augmentations
    if not any(isinstance(augment, SupportsViews) for augment in augmentations.values()):
        return {}
    tested = score(training, training.test, views=partial(views_of, augmentations))
    return {"tta_test_loss": tested.loss, "tta_test_error": tested.error}


def score(training: Training, store: ImageStore, *, views: Views | None = None) -> Score:
    """Test the network, or its average, on all images of ``store``."""
    return evaluate(
        training.state.evaluated,
        store,
        prepare=partial(prepare_for_evaluation, training.components.augmentations),
        scaler=training.state.scaler,
        world=training.world,
        batch_size=EVALUATION_BATCH.get(training.world.device.type, 64),
        views=views,
    )


def save(training: Training) -> None:
    """Write a checkpoint of the step just done, which rank 0 does; all check that it is finite."""
    state = training.state
    if state.saved_step == state.step:
        return
    training.clock.pause(state)
    state.check_finite()
    if training.world.is_main:
        started = time.monotonic()
        written = training.checkpoints.save(
            state.step,
            {**state.state_dict(), "metrics_size": training.folder.metrics_size},
            facts=training.facts,
            best=state.best_step,
        )
        if written:
            state.saved_step = state.step
            seconds = time.monotonic() - started
            training.emit({"event": "checkpoint", "step": state.step, "seconds": seconds})
    training.clock.saved()
    training.clock.start()
