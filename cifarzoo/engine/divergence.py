"""Divergence: a warning of training losses beyond chance's, and of tests that give no number.

The first is of a loss that has left what an untrained network has. It stops nothing and changes no
number: some recipes come back. A run that ends without a number has no result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from cifarzoo.engine.events import Score

DECAY = 0.98  # of the average of losses: some fifty steps
PATIENCE = 200  # steps that the average must stay above the bound
TIMES_INITIAL, ABOVE_CHANCE = 3.0, 2.0


class Divergence:
    """Follows the losses of one attempt at a run.

    The bound is ``max(3 l, log(K) + 2)``, where l is the loss of the first step, or chance's
    ``log(K)`` for an attempt that goes on from a checkpoint. Of a loss that isn't the
    cross-entropy chance is not known, and l is the loss of the attempt's first step.

    Args:
        num_classes: Number of classes, K; None: the loss isn't the cross-entropy.
    """

    def __init__(self, num_classes: int | None) -> None:
        self._chance = math.log(num_classes) if num_classes is not None else None
        self._initial = math.inf
        self._average: float | None = None
        self._bound = math.inf
        self._steps_above = 0
        self._was_not_finite = False

    def tests_message(self, tests: Mapping[str, Score], *, epoch: int) -> str | None:
        """The warning when a test gave a loss that isn't finite, for the first time.

        Args:
            tests: Scores of an epoch, by the name of their images.
            epoch: Epochs done.
        """
        found = not_finite(tests)
        if found is None or self._was_not_finite:
            return None
        self._was_not_finite = True
        return (
            f"the loss on {found} is not finite after epoch {epoch}, though the weights are; the "
            "run goes on, and has no result unless its last epoch's is"
        )

    def message(self, loss: float, *, step: int) -> str | None:
        """Take in the loss of a step; the warning when it is the last of ``PATIENCE`` too many.

        Args:
            loss: Mean over the global batch.
            step: Optimizer steps done, this one included.
        """
        if self._average is None:
            self._initial = loss if step == 1 or self._chance is None else self._chance
            above_chance = 0.0 if self._chance is None else self._chance + ABOVE_CHANCE
            self._bound = max(TIMES_INITIAL * self._initial, above_chance)
            self._average = loss
        self._average = DECAY * self._average + (1 - DECAY) * loss
        self._steps_above = self._steps_above + 1 if self._average > self._bound else 0
        if self._steps_above != PATIENCE:
            return None
        self._bound = math.inf  # once is enough
        if self._chance is None:
            compared = f"it began at {self._initial:.3g}"
        else:
            compared = f"knowing nothing gives {self._chance:.3g}"
        return (
            f"the training loss has been around {self._average:.3g} for {PATIENCE} steps, at step "
            f"{step}; {compared}: the run may have diverged; lower the learning rate, or warm it up"
        )


def not_finite(tests: Mapping[str, Score]) -> str | None:
    """The name of the first images on which the loss isn't finite; None: it is on all."""
    return next((name for name, score in tests.items() if not score.is_finite), None)
