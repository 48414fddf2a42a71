"""Going on from the newest checkpoint: the training's state, and the folder brought back to it."""

from __future__ import annotations

from functools import partial
from typing import Any

from cifarzoo.engine.branch import begin_branch, parents_checkpoint
from cifarzoo.engine.checkpoint import Loaded
from cifarzoo.engine.distributed.environment import restarts
from cifarzoo.engine.events import ResumedEvent, WarningEvent
from cifarzoo.engine.fitting import MisfitError
from cifarzoo.engine.training import Training
from cifarzoo.errors import CheckpointError, UsageError
from cifarzoo.run_folders.folder import METRICS, PUT_BACK, RunFolder, this_process

SHORT = 12  # hexadecimal digits of a SHA-256 in a message
DECIDE_BITS = {  # and what they were where a checkpoint says nothing
    "world_size": None,
    "threads": None,
    "precision": None,
    "kernels": "torch",
    "cuda_graph": False,
    "torch": None,
}


def restore(training: Training) -> None:
    """Go on from the newest checkpoint of the run, if there is one."""
    session, state, world = training.session, training.state, training.setup.world
    # Rank 0 reads, goes on from the newest that fits and hands it over: ranks on other hosts need
    # not see the run's folder.
    loaded, parent = world.on_main(lambda: _newest(training))
    world.on_main(lambda: _check_data(training, loaded))
    if loaded is None:
        if world.is_main:
            _start_over(training)
        return
    if not world.is_main:
        state.load_state_dict(loaded.state)
    if parent is not None:
        world.on_main(lambda: begin_branch(training, parent))
    session.checkpoints.saved_step = state.step
    if world.is_main:
        if parent is None:
            session.emit(_resumed_event(training))
        for name, before in DECIDE_BITS.items():
            there, here = loaded.manifest.get(name, before), session.facts[name]
            if there != here:
                message = f"{name} was {there} and is {here}: bits may differ from here on"
                session.emit(WarningEvent(message=message))
    world.on_main(lambda: _restore_folder(training, int(loaded.state["metrics_size"])))


def _newest(training: Training) -> tuple[Loaded | None, dict[str, Any] | None]:
    """The newest checkpoint; of a run that has none the one it begins from, and its parent."""
    session = training.session
    loaded = session.checkpoints.load(session.facts["config"], partial(_go_on, training))
    parent = None if loaded else session.folder.record.get("parent")
    if parent:
        loaded = parents_checkpoint(training, parent)
        training.state.load_state_dict(loaded.state)
    return loaded, parent


def _go_on(training: Training, loaded: Loaded) -> None:
    """Load a checkpoint of the run.

    Raises:
        MisfitError: It isn't of this network, optimizer or average, of this length, or doesn't
            go with the metrics.
    """
    folder, total = training.session.folder, training.setup.plan.total_steps
    if loaded.step > total:
        raise MisfitError(f"it is of step {loaded.step}, and the run has {total}")
    size = loaded.state["metrics_size"]
    if not folder.has_counted(size, loaded.step):
        raise MisfitError(
            f"{size} bytes of {folder.path / METRICS} are not its epochs up to step {loaded.step}",
            PUT_BACK,
        )
    training.state.load_state_dict(loaded.state)


def _check_data(training: Training, loaded: Loaded | None) -> None:
    """Refuse other data than the run began with: a checkpoint's, or of an attempt without one."""
    folder, here = training.session.folder, training.data.digest
    there = trained_data(folder, loaded)
    if there in (None, here):
        return
    where = folder.record.get("data_folder")
    title = training.setup.components.dataset.title
    raise UsageError(
        f"{folder.path} was trained on other data: SHA-256 {there[:SHORT]}… there and "
        f"{here[:SHORT]}… of {title} here; bring back what it began with"
        + f" in {where}" * bool(where)
        + ", or begin a run of its own in another folder"
    )


def trained_data(folder: RunFolder, loaded: Loaded | None) -> str | None:
    """SHA-256 (hex) of the data that a run was trained on; None: an older cifarzoo kept none."""
    recorded: str | None = folder.record.get("data", {}).get("sha256")
    return recorded if loaded is None else loaded.manifest.get("data") or recorded


def _start_over(training: Training) -> None:
    """Begin at the first step, also in the folder of an attempt that saved nothing."""
    folder = training.session.folder
    was_started = "started" in folder.record
    folder.cut_metrics(0)
    folder.update(started=this_process()["started"])
    if was_started:
        training.session.emit(_resumed_event(training))


def _restore_folder(training: Training, size: int) -> None:
    """Bring the folder back to the checkpoint, at which ``metrics.jsonl`` had ``size`` bytes."""
    session, step = training.session, training.state.step
    folder = session.folder
    folder.metrics(size)  # a damaged line is refused now, not after days at the result
    session.checkpoints.tidy(step, training.state.progress.best_step)
    lost = size - folder.metrics_size
    folder.cut_metrics(size)
    if lost <= 0:
        return
    lacks = f"{folder.path / METRICS} lacks {lost} of the {size} bytes that it had at step {step}"
    if step == training.setup.plan.total_steps:
        raise CheckpointError(
            f"{lacks}, with the result; put the file back, or test the weights with cifarzoo eval"
        )
    session.emit(WarningEvent(message=f"{lacks}; epochs are missing in it"))


def _resumed_event(training: Training) -> ResumedEvent:
    step, plan = training.state.step, training.setup.plan
    restart, allowed = restarts()
    return ResumedEvent(
        run=str(training.session.folder.path),
        step=step,
        steps=plan.total_steps,
        epoch=step / plan.steps_per_epoch,
        restart=restart or None,
        max_restarts=allowed if restart else None,
    )
