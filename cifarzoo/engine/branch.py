"""The first state of a run that begins at a checkpoint of another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cifarzoo.components.user_paths import expanded
from cifarzoo.engine.checkpoint import Checkpoints, Loaded
from cifarzoo.engine.events import BranchedEvent, WarningEvent
from cifarzoo.engine.training import Training
from cifarzoo.errors import CheckpointError, UsageError
from cifarzoo.run_folders.folder import CHECKPOINTS, RunFolder, this_process


def parents_checkpoint(training: Training, parent: Mapping[str, Any]) -> Loaded:
    """The checkpoint that a run begins from; the best so far, and metrics, it has of its own.

    Args:
        training: Training of the run, which has done nothing.
        parent: Entries ``run``, ``step`` and ``config`` of run.json.

    Raises:
        CheckpointError: It is gone, damaged, or of another config than it was.
        UsageError: There is nothing left to train, or steps are of other images.
    """
    session, plan = training.session, training.setup.plan
    folder, step = RunFolder(expanded(parent["run"])), parent["step"]
    checkpoints = Checkpoints(
        folder.path / CHECKPOINTS,
        keep=1,
        warn=lambda message: session.emit(WarningEvent(message=message)),
    )
    loaded = checkpoints.read(step)
    if loaded.manifest["config"] != parent["config"]:
        raise CheckpointError(
            f"{checkpoints.path(step)} is of another config than that of {folder.path}"
        )
    if step >= plan.total_steps:
        raise UsageError(
            f"{folder.path} is at step {step:,}, and this run has {plan.total_steps:,} steps in "
            "all; set run.epochs to more"
        )
    there = folder.record.get("steps_per_epoch", plan.steps_per_epoch)
    if there != plan.steps_per_epoch:
        raise UsageError(
            f"{folder.path} has {there} steps an epoch, and this run {plan.steps_per_epoch}"
        )
    numbers = {**loaded.state["numbers"], "best_error": None, "best_step": None}
    return replace(loaded, state={**loaded.state, "numbers": numbers, "metrics_size": 0})


def begin_branch(training: Training, parent: Mapping[str, Any]) -> None:
    """Save the state that was loaded as this run's own, and say by which schedule it goes on."""
    setup, state, session = training.setup, training.state, training.session
    before = state.rate
    session.folder.update(started=this_process()["started"])
    # From here on the parent isn't needed any more.
    session.checkpoints.save(
        state.step, {**state.state_dict(), "metrics_size": 0}, facts=session.facts
    )
    factor = setup.components.schedule(setup.plan.timestamp(state.step))
    session.emit(
        BranchedEvent(
            run=str(session.folder.path),
            parent=str(expanded(parent["run"])),
            step=state.step,
            steps=setup.plan.total_steps,
            epoch=state.step / setup.plan.steps_per_epoch,
            lr_before=before,
            lr=state.base_rates[0] * factor,
        )
    )
