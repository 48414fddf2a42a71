"""The forward passes of a step: the network, in the run's arithmetic, as regularizers wrap it."""

from __future__ import annotations

from functools import partial

import numpy as np
from torch import Tensor

from cifarzoo.engine.assembly.forward import Plain, network_stages, wrap_forward
from cifarzoo.engine.device.compiling import uncompiled
from cifarzoo.engine.state import TrainingState
from cifarzoo.engine.training import Setup
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator


class StepForward:
    """The forward passes of the step at which ``state`` stands."""

    def __init__(self, setup: Setup, state: TrainingState) -> None:
        self._seed, self._step = setup.run.seed, state.step
        self._plan, self._world = setup.plan, setup.world
        self._scaler = state.scaler
        self._innermost = Plain(
            state.model, state.parallel, setup.plan.timestamp(state.step), setup.plan.num_views
        )
        self._stages = network_stages(setup.components.regularizers)
        self._is_compiled = setup.policy.compile

    def __call__(
        self, images: Tensor, targets: Tensor, rows: slice
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """One pass.

        Args:
            images: Batch float32 (m, C, H, W).
            targets: Class probabilities (m, K).
            rows: Which rows of this rank's batch they are.

        Returns:
            Logits (m, K), the targets (m, K) that belong to them, and the penalty (), which is
            None where no regularizer acts in the ``network`` stage.
        """
        if not self._stages:
            return self._scaler.forward(self._innermost.parallel, images), targets, None
        draws_of = partial(self._draws, rows=rows)
        forward = wrap_forward(self._innermost, self._stages, draws_of)
        with self._scaler.arithmetic(), uncompiled(active=self._is_compiled):
            logits, aims, penalty = forward(self._scaler.cast(images), targets)
        return logits.to(self._scaler.wide), aims, penalty.to(self._scaler.wide)

    def _draws(self, name: str, rows: slice) -> BatchDraws:
        """The same numbers for a row in whichever pass it is."""
        epoch = self._step // self._plan.steps_per_epoch
        first = self._plan.rows(self._world.rank).start
        return BatchDraws(
            generator(self._seed, name, "network", epoch, self._step),
            self._plan.num_rows,
            # As indices: a permutation of what happens to be in a pass is refused.
            part=np.arange(first + rows.start, first + rows.stop),
            device=self._world.device,
            epoch=epoch,
        )
