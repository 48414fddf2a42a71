"""Divergence: one warning when the training loss has left what an untrained network has.

It stops nothing and changes no number: some recipes come back.
"""

from __future__ import annotations

import math

DECAY = 0.98  # of the average of losses: some fifty steps
PATIENCE = 200  # steps that the average must stay above the bound
TIMES_INITIAL, ABOVE_CHANCE = 3.0, 2.0


class Divergence:
    """Follows the losses of one attempt at a run.

    The bound is ``max(3 l, log(K) + 2)``, where l is the loss of the first step, or chance's
    ``log(K)`` for an attempt that goes on from a checkpoint.

    Args:
        num_classes: Number of classes, K.
    """

    def __init__(self, num_classes: int) -> None:
        self._chance = math.log(num_classes)
        self._average: float | None = None
        self._bound = math.inf
        self._steps_above = 0

    def message(self, loss: float, *, step: int) -> str | None:
        """Take in the loss of a step; the warning when it is the last of ``PATIENCE`` too many.

        Args:
            loss: Mean over the global batch.
            step: Optimizer steps done, this one included.
        """
        if self._average is None:
            initial = loss if step == 1 else self._chance
            self._bound = max(TIMES_INITIAL * initial, self._chance + ABOVE_CHANCE)
            self._average = loss
        self._average = DECAY * self._average + (1 - DECAY) * loss
        self._steps_above = self._steps_above + 1 if self._average > self._bound else 0
        if self._steps_above != PATIENCE:
            return None
        self._bound = math.inf  # once is enough
        return (
            f"the training loss has been around {self._average:.3g} for {PATIENCE} steps, at step "
            f"{step}; knowing nothing gives {self._chance:.3g}: the run may have diverged; lower "
            "the learning rate, or warm it up"
        )
