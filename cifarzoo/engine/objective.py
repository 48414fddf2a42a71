"""The loss of a step, in parts: what each forward pass on each rank adds to the global batch's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cifarzoo.components.protocols import Loss
from cifarzoo.engine.assembly.build import Components
from cifarzoo.engine.distributed.world import World


@dataclass(frozen=True, kw_only=True)
class StepLoss:
    """The loss of one optimizer step on this rank.

    Gradients and reported losses are averaged over the ranks, and parts add up on each: the
    mean over ranks of the sum of ``part`` is the loss of the global batch.

    Attributes:
        loss: Loss of the run, as its regularizers wrapped it.
        num_parts: Forward passes in the step, of as many images each.
        shares: Number of ranks times each row's share (n,) in the weights of the global batch;
            None: all rows count alike.
    """

    loss: Loss
    num_parts: int
    shares: Tensor | None = None

    def part(self, logits: Tensor, targets: Tensor, penalty: Tensor | None, rows: slice) -> Tensor:
        """What a forward pass adds.

        Args:
            logits: Logits (m, K) of these rows of this rank's batch.
            targets: Class probabilities (m, K).
            penalty: What ``network`` stages add to the loss of the pass (); None: there are none.
            rows: Which rows they are.
        """
        part = self._loss_of(logits, targets, rows)
        return part if penalty is None else part + penalty / self.num_parts

    def _loss_of(self, logits: Tensor, targets: Tensor, rows: slice) -> Tensor:
        values = self.loss(logits, targets)
        if self.shares is not None:
            return (self.shares[rows].to(values.dtype) * values).sum()
        # Equal parts: the mean of means is the mean.
        return (values.mean() if values.ndim else values) / self.num_parts


@torch.no_grad()
def step_loss(components: Components, targets: Tensor, *, world: World, num_parts: int) -> StepLoss:
    """The loss of a step, whose weights are known before the first backward pass.

    Args:
        components: Those of the run: the loss, and the weights where it has some.
        targets: Class probabilities (n, K) of this rank's batch.
        world: The ranks; they exchange the sums of their weights where there are weights.
        num_parts: Forward passes in the step.
    """
    if components.loss_weights is None:
        return StepLoss(loss=components.loss, num_parts=num_parts)
    weights = components.loss_weights(targets).double()
    total = world.gather(weights.sum()[None]).sum()
    return StepLoss(
        loss=components.loss, num_parts=num_parts, shares=weights * (world.size / total)
    )
