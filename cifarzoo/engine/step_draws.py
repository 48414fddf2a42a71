"""The random numbers of one step, handed to the modules of the network that asked for them."""

from __future__ import annotations

from cifarzoo.engine.state import TrainingState
from cifarzoo.engine.training import Setup
from cifarzoo.layers import dropout
from cifarzoo.randomness import gates
from cifarzoo.randomness.keys import on_device, seed_torch


class StepDraws:
    """Branch gates and dropout masks of the step at which ``state`` stands.

    They are drawn, or can be counted, for the whole global batch; this rank takes its rows.
    """

    def __init__(self, setup: Setup, state: TrainingState) -> None:
        plan = setup.plan
        self._seed, self._step, self._rank = setup.run.seed, state.step, setup.world.rank
        self._rows = plan.rows(self._rank)
        self._sites, self._dropouts = state.sites, state.dropouts
        numbers = gates.draw_gates(self._sites, plan.num_rows, seed=self._seed, step=self._step)[
            :, self._rows
        ]
        self._gates = on_device(numbers, setup.world.device)

    def begin_pass(self) -> None:
        """Reseed torch's generators, so that each pass over the batch draws the same."""
        seed_torch(self._seed, "torch", self._step, self._rank)

    def feed(self, rows: slice) -> None:
        """Give the modules the numbers of these rows of this rank's batch."""
        gates.feed(self._sites, self._gates[:, rows])
        first = self._rows.start + rows.start
        dropout.feed(self._dropouts, seed=self._seed, step=self._step, first=first)
