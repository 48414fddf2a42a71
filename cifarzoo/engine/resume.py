"""Going on from the newest checkpoint: the training's state, and the folder brought back to it."""

from __future__ import annotations

from cifarzoo.engine.checkpoint import Loaded
from cifarzoo.engine.distributed.environment import restarts
from cifarzoo.engine.events import Event
from cifarzoo.engine.training import Training
from cifarzoo.errors import CheckpointError
from cifarzoo.runs.folder import METRICS, this_process

DECIDE_BITS = ("world_size", "threads", "precision", "torch")


def restore(training: Training) -> None:
    """Go on from the newest checkpoint of the run, if there is one."""
    world, folder = training.world, training.folder
    loaded: Loaded | None = world.on_main(
        lambda: training.checkpoints.load(training.facts["config"])
    )
    if loaded is None:
        if world.is_main:
            was_started = "started" in folder.record
            folder.cut_metrics(0)
            folder.update(started=this_process()["started"])
            if was_started:
                training.emit(_resumed_event(training))
        return
    training.state.load_state_dict(loaded.state)
    training.state.saved_step = training.state.step
    if world.is_main:
        training.emit(_resumed_event(training))
        for name in DECIDE_BITS:
            there, here = loaded.manifest.get(name), training.facts[name]
            if there != here:
                message = f"{name} was {there} and is {here}: bits may differ from here on"
                training.emit({"event": "warning", "message": message})
    world.on_main(lambda: _restore_folder(training, int(loaded.state["metrics_size"])))


def _restore_folder(training: Training, size: int) -> None:
    """Bring the folder back to the checkpoint, at which ``metrics.jsonl`` had ``size`` bytes."""
    folder, step = training.folder, training.state.step
    folder.metrics(size)  # a damaged line is refused now, not after days at the result
    training.checkpoints.tidy(step, training.state.best_step)
    lost = size - folder.metrics_size
    folder.cut_metrics(size)
    if lost <= 0:
        return
    lacks = f"{folder.path / METRICS} lacks {lost} of the {size} bytes that it had at step {step}"
    if step == training.plan.total_steps:
        raise CheckpointError(
            f"{lacks}, with the result; put the file back, or test the weights with cifarzoo eval"
        )
    training.emit({"event": "warning", "message": f"{lacks}; epochs are missing in it"})


def _resumed_event(training: Training) -> Event:
    step = training.state.step
    restart, allowed = restarts()
    return {
        "event": "resumed",
        "run": str(training.folder.path),
        "step": step,
        "steps": training.plan.total_steps,
        "epoch": step / training.plan.steps_per_epoch,
        **({"restart": restart, "max_restarts": allowed} if restart else {}),
    }
