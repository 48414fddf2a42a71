"""The random numbers of one step: for modules that asked for them, and for whoever just draws."""

from __future__ import annotations

from cifarzoo.engine.state import TrainingState
from cifarzoo.engine.training import Setup
from cifarzoo.layers import dropout
from cifarzoo.randomness import gates
from cifarzoo.randomness.global_generators import seed_generators
from cifarzoo.randomness.keys import on_device


class StepDraws:
    """Branch gates and dropout masks of the step at which ``state`` stands.

    They are drawn, or can be counted, for the whole global batch; this rank takes its rows.

    Attributes:
        num_passes: How many passes over the batch were begun.
    """

    def __init__(self, setup: Setup, state: TrainingState) -> None:
        plan = setup.plan
        self.num_passes = 0
        self._seed, self._step, self._rank = setup.run.seed, state.step, setup.world.rank
        self._rows = plan.rows(self._rank)
        self._sites, self._dropouts = state.sites, state.dropouts
        numbers = gates.draw_gates(self._sites, plan.num_rows, seed=self._seed, step=self._step)[
            :, self._rows
        ]
        self._gates = on_device(numbers, setup.world.device)

    def begin_pass(self) -> None:
        """Reseed the global generators, so that each pass over the batch draws the same."""
        self.num_passes += 1
        seed_generators(self._seed, "torch", self._step, self._rank)

    def begin_update(self) -> None:
        """Reseed them for the optimizer, whose noise must be the same on every rank."""
        seed_generators(self._seed, "torch", "optimizer", self._step)

    def feed(self, rows: slice) -> None:
        """Give the modules the numbers of these rows of this rank's batch."""
        gates.feed(self._sites, self._gates[:, rows])
        first = self._rows.start + rows.start
        dropout.feed(self._dropouts, seed=self._seed, step=self._step, first=first)
