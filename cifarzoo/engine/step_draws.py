"""The random numbers of one step: for modules that asked for them, and for whoever just draws."""

from __future__ import annotations

from torch import Tensor

from cifarzoo.engine.state import TrainingState
from cifarzoo.engine.training import Setup
from cifarzoo.layers import dropout
from cifarzoo.randomness.gates import draw_gates
from cifarzoo.randomness.gates import feed as feed_gates
from cifarzoo.randomness.global_generators import seed_generators
from cifarzoo.randomness.keys import Floats, on_device


def gates_of(setup: Setup, state: TrainingState) -> Floats:
    """The numbers of all gates for this rank's rows: (sites, rows)."""
    plan = setup.plan
    numbers = draw_gates(state.sites, plan.num_rows, seed=setup.run.seed, step=state.step)
    return numbers[:, plan.rows(setup.world.rank)]


class StepDraws:
    """Branch gates and dropout masks of the step at which ``state`` stands.

    They are drawn, or can be counted, for the whole global batch; this rank takes its rows.

    Args:
        setup: Run, sizes, components, arithmetic and ranks.
        state: State of the run.
        gates: What ``gates_of`` gives, where it is on the device already.
        reseeds: Whether the global generators are reseeded; while a step is captured nobody may.

    Attributes:
        num_passes: How many passes over the batch were begun.
    """

    def __init__(
        self,
        setup: Setup,
        state: TrainingState,
        *,
        gates: Tensor | None = None,
        reseeds: bool = True,
    ) -> None:
        plan = setup.plan
        self.num_passes = 0
        self._seed, self._step, self._rank = setup.run.seed, state.step, setup.world.rank
        self._rows = plan.rows(self._rank)
        self._sites, self._dropouts = state.sites, state.dropouts
        self._reseeds = reseeds
        if gates is None:
            gates = on_device(gates_of(setup, state), setup.world.device)
        self._gates = gates

    def begin_pass(self) -> None:
        """Reseed the global generators, so that each pass over the batch draws the same."""
        self.num_passes += 1
        if self._reseeds:
            seed_generators(self._seed, "torch", self._step, self._rank)

    def begin_update(self) -> None:
        """Reseed them for the optimizer, whose noise must be the same on every rank."""
        if self._reseeds:
            seed_generators(self._seed, "torch", "optimizer", self._step)

    def feed(self, rows: slice) -> None:
        """Give the modules the numbers of these rows of this rank's batch."""
        feed_gates(self._sites, self._gates[:, rows])
        first = self._rows.start + rows.start
        dropout.feed(self._dropouts, seed=self._seed, step=self._step, first=first)
