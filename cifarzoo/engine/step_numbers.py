"""All numbers of a step that the host draws, in one piece of the device's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cifarzoo.engine.state import TrainingState
from cifarzoo.engine.training import Setup
from cifarzoo.layers.dropout import Rows, rows_of
from cifarzoo.randomness.gates import draw_gates
from cifarzoo.randomness.keys import Floats, Indices

NUMPYS = {torch.float32: np.float32, torch.float64: np.float64}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The numbers of a step, on the host.

    Attributes:
        gates: Numbers of the gates for this rank's rows, float32 (sites, rows).
        masks: Which masks each dropout has, of each micro-batch.
        words: The same for kernels of ours on a GPU, int64 (micro-batches, dropouts, 3); without
            such kernels there are none of them.
    """

    gates: Floats
    masks: list[list[Rows]]
    words: Indices

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """How many numbers there are."""
        return self.gates.shape, self.words.shape


def draw(setup: Setup, state: TrainingState) -> Drawn:
    """The numbers of the step at which ``state`` stands.

    They are drawn, or can be counted, for the whole global batch; this rank takes its rows.
    """
    plan, seed, step = setup.plan, setup.run.seed, state.step
    rows = plan.rows(setup.world.rank)
    gates = draw_gates(state.sites, plan.num_rows, seed=seed, step=step)[:, rows]
    size = plan.micro_batch_size * plan.num_views
    masks = [
        rows_of(state.dropouts, seed=seed, step=step, first=rows.start + index * size)
        for index in range(plan.num_micro_batches)
    ]
    words = [[each.words() for each in part] for part in masks if setup.policy.kernels.is_triton]
    return Drawn(
        gates=gates,
        masks=masks,
        words=np.array(words, np.int64).reshape(len(words), len(state.dropouts), 3),
    )


class StepNumbers:
    """Memory for them.

    Args:
        shapes: How many gates and words there are.
        num_rates: Number of learning rates that are read from it.
        dtype: Type of the rates.
        device: Device that reads them.

    Attributes:
        rates: Learning rates (num_rates,).
        gates: See ``Drawn``.
        words: See ``Drawn``.
    """

    def __init__(
        self,
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
        *,
        num_rates: int = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device,
    ) -> None:
        self.shapes = shapes
        of_gates, of_words = shapes
        kinds = ((of_words, torch.int64), ((num_rates,), dtype), (of_gates, torch.float32))
        sizes = [int(np.prod(shape)) * kind.itemsize for shape, kind in kinds]
        # Those of eight bytes come first: each begins where its type may.
        self._bytes = torch.zeros(sum(sizes), dtype=torch.uint8, device=device)
        self.words, self.rates, self.gates = (
            part.view(kind).view(shape)
            for part, (shape, kind) in zip(torch.split(self._bytes, sizes), kinds, strict=True)
        )

    def load(self, drawn: Drawn, rates: Sequence[float] = ()) -> None:
        """Fill it, by one copy for which a GPU's queue does not wait."""
        parts = (drawn.words, np.asarray(rates, NUMPYS[self.rates.dtype]), drawn.gates)
        as_bytes = [np.ascontiguousarray(part).reshape(-1).view(np.uint8) for part in parts]
        on_host = torch.from_numpy(np.concatenate(as_bytes))
        if self._bytes.is_cuda:
            on_host = on_host.pin_memory()
        self._bytes.copy_(on_host, non_blocking=True)
