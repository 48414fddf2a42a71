"""The random numbers of one step: for modules that asked for them, and for whoever just draws."""

from __future__ import annotations

from cifarzoo.engine.state import TrainingState
from cifarzoo.engine.step_numbers import Drawn, StepNumbers, draw
from cifarzoo.engine.training import Setup
from cifarzoo.layers import dropout
from cifarzoo.randomness import gates
from cifarzoo.randomness.global_generators import seed_generators


class StepDraws:
    """Branch gates and dropout masks of the step at which ``state`` stands.

    Args:
        setup: Run, sizes, components, arithmetic and ranks.
        state: State of the run.
        drawn: Its numbers; None: they are drawn here.
        numbers: Memory on the device that holds them already.
        reseeds: Whether the global generators are reseeded; while a step is captured nobody may.

    Attributes:
        num_passes: How many passes over the batch were begun.
    """

    def __init__(
        self,
        setup: Setup,
        state: TrainingState,
        *,
        drawn: Drawn | None = None,
        numbers: StepNumbers | None = None,
        reseeds: bool = True,
    ) -> None:
        self.num_passes = 0
        self._seed, self._step, self._rank = setup.run.seed, state.step, setup.world.rank
        self._size = setup.plan.micro_batch_size * setup.plan.num_views
        self._sites, self._dropouts = state.sites, state.dropouts
        self._reseeds = reseeds
        self._drawn = drawn or draw(setup, state)
        if numbers is None:
            numbers = StepNumbers(self._drawn.shapes, device=setup.world.device)
            numbers.load(self._drawn)
        self._numbers = numbers

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
        """Give the modules the numbers of these rows of this rank's batch, a micro-batch."""
        index = rows.start // self._size
        words = self._numbers.words[index] if len(self._numbers.words) else None
        gates.feed(self._sites, self._numbers.gates[:, rows])
        dropout.feed(self._dropouts, self._drawn.masks[index], words)
