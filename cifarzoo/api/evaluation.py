"""Weights of a run tested on its test images."""

from __future__ import annotations

from cifarzoo.api.identity import trained_otherwise
from cifarzoo.api.reopening import Reopened
from cifarzoo.engine.events import EvaluationEvent, Listener, WarningEvent
from cifarzoo.engine.trained import Weights, evaluate_run


def evaluate_reopened(
    run: Reopened, emit: Listener, *, weights: Weights = "tested"
) -> EvaluationEvent:
    """Test weights of a run; see ``evaluate_run`` for the errors.

    Args:
        run: The run's folder, config and data.
        emit: Receives warnings.
        weights: Which ones; see ``cifarzoo.engine.trained.load_trained``.
    """
    config = run.config
    with config.locating():
        built = config.build()  # refused before anything is said of it
        for note in trained_otherwise(run.folder, config):
            emit(WarningEvent(message=note))
        return evaluate_run(built, run.folder, data=run.data, emit=emit, weights=weights)
