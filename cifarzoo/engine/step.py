"""One optimizer step: forward, loss, backward, what all ranks agree on, update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from cifarzoo.engine.assembly.plan import Plan
from cifarzoo.engine.distributed.step_exchange import StepInfo, StepReport
from cifarzoo.engine.distributed.world import unsynchronised
from cifarzoo.engine.forward import StepForward
from cifarzoo.engine.objective import step_loss
from cifarzoo.engine.state import TrainingState
from cifarzoo.engine.step_draws import StepDraws
from cifarzoo.engine.training import Setup
from cifarzoo.errors import CifarzooError
from cifarzoo.layers.norms import batch_norms, running_statistics, tracked

Submit: TypeAlias = Callable[[StepInfo, Tensor, Tensor], list[StepReport]]
Note: TypeAlias = Callable[[Tensor, Tensor], None]


def train_step(
    setup: Setup,
    state: TrainingState,
    images: Tensor,
    targets: Tensor,
    *,
    submit: Submit,
    note: Note | None = None,
    draws: StepDraws | None = None,
) -> list[StepReport]:
    """Train on this rank's rows of one batch.

    Args:
        setup: Run, sizes, components, arithmetic and ranks.
        state: Network, optimizer and scaler of losses, which the step changes.
        images: Images (n, 3, H, W).
        targets: Class probabilities (n, K).
        submit: Exchanges a step's loss and gradient norm with the other ranks.
        note: Called with logits (m, K) and targets (m, K) of each part of the first pass.
        draws: Random numbers of the step; None: they are drawn here.

    Returns:
        What is known by now: of this step, or of an earlier one where reading is delayed.

    Raises:
        NotFiniteError: A loss or gradient isn't finite; raised on every rank, and before the
            update unless reading is delayed.
    """
    plan = setup.plan
    draws = draws or StepDraws(setup, state)
    reports: list[StepReport] = []
    step = StepInfo(number=state.step, rate=state.rate)
    objective = step_loss(
        setup.components, targets, world=setup.world, num_parts=plan.num_micro_batches
    )
    forward = StepForward(setup, state)

    counts = FirstPassCounts(state)

    def closure() -> Tensor:
        # A second pass over the batch, as some optimizers make, sees the same gates and masks.
        with counts.one_pass():
            return one_pass()

    def one_pass() -> Tensor:
        draws.begin_pass()
        state.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=images.device, dtype=setup.policy.weights)
        running = MeanOfParts(state.model, plan.num_micro_batches)
        for rows in micro_batches(plan):
            running.start_part()
            draws.feed(rows)
            # Ranks average gradients once a step, with the last micro-batch's backward pass.
            is_last = rows.stop == len(images)
            with unsynchronised(state.parallel, active=not is_last):
                logits, aims, penalty = forward(images[rows], targets[rows], rows)
                part = objective.part(logits, aims, penalty, rows)
                state.scaler.backward(part)
                if note is not None and draws.num_passes == 1:
                    note(logits, aims)
            loss += part.detach()
            running.end_part()
        setup.world.average_gradients_(state.parallel, state.parameters)
        state.scaler.unscale(state.optimizer)
        norm = clip_gradient(state.parameters, setup.run.clip_norm)
        # Within the closure, since what isn't finite must be known before the update.
        reports.extend(submit(step, loss, norm))
        if setup.policy.delay and not setup.policy.scales_losses:
            skip_update_unless_finite(state.optimizer, loss, norm)
        draws.begin_update()
        return loss

    draws.begin_update()
    state.scaler.step(state.optimizer, closure, state.trial.form)
    if not draws.num_passes:
        raise CifarzooError(
            f"{type(state.optimizer).__name__}.step was given the closure and did not call it, as "
            "it did when it was tried: nothing was trained"
        )
    setup.world.average_(statistics_of_ranks(state.model, plan))
    return reports


class FirstPassCounts:
    """Makes later passes of a step begin with the first one's buffers, and leave none changed.

    They are made at weights on trial, which running statistics are not of.

    Args:
        state: Network, and which of its buffers a pass in training looks at.
    """

    def __init__(self, state: TrainingState) -> None:
        self._model = state.model
        self._at_first = {name: self._model.get_buffer(name).clone() for name in state.buffers}
        self._num_passes = 0

    @contextmanager
    def one_pass(self) -> Iterator[None]:
        """Within ``with``, the network passes over the batch."""
        self._num_passes += 1
        if self._num_passes == 1:
            yield
            return
        after_first = {name: buffer.clone() for name, buffer in self._model.named_buffers()}
        self._put_back(self._at_first)
        yield
        self._put_back(after_first)

    def _put_back(self, buffers: Mapping[str, Tensor]) -> None:
        # By name, since a forward pass may bind another tensor to it.
        for name, value in buffers.items():
            self._model.get_buffer(name).copy_(value)


def statistics_of_ranks(model: nn.Module, plan: Plan) -> list[Tensor]:
    """Running statistics in which ranks differ: of smaller groups, or of norms without any."""
    if plan.world_size == 1:
        return []
    if plan.bn_ranks < plan.world_size:
        return running_statistics(model)
    shared = {id(tensor) for module in batch_norms(model) for tensor in module.buffers()}
    return [tensor for tensor in running_statistics(model) if id(tensor) not in shared]


class MeanOfParts:
    """Makes norms take in the micro-batches of a step as one: each from where the step began.

    Otherwise BatchNorm's running statistics would move as many times as there are
    micro-batches, and accumulation would change what is learned.

    Args:
        model: The network, whose norms each part changes.
        num_parts: Number of micro-batches in the step; with 1 nothing needs to be done.
    """

    def __init__(self, model: nn.Module, num_parts: int) -> None:
        self._num_parts = num_parts
        self._buffers = tracked(model) if num_parts > 1 else []
        self._before = [buffer.clone() for buffer in self._buffers]
        self._sums = [torch.zeros_like(buffer) for buffer in self._buffers]
        self._done = 0

    def start_part(self) -> None:
        """Bring the buffers back to where the step began."""
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.copy_(before)

    def end_part(self) -> None:
        """Take in what the part made of the buffers; after the last, they are its mean."""
        self._done += 1
        for buffer, total in zip(self._buffers, self._sums, strict=True):
            total.add_(buffer)
            if self._done == self._num_parts:
                buffer.copy_(total / self._num_parts)


def micro_batches(plan: Plan) -> list[slice]:
    """The rows of a rank's batch that go through the network together, all views of an image."""
    size, count = (n * plan.num_views for n in (plan.micro_batch_size, plan.local_batch_size))
    return [slice(start, start + size) for start in range(0, count, size)]


def skip_update_unless_finite(optimizer: Any, loss: Tensor, norm: Tensor) -> None:
    """Let the device leave the weights as they are in a step whose numbers aren't finite.

    They are read after the next step was begun, and end the run. torch's fused optimizers, which
    its scaler of losses tells the same, can do so; the others make weights that nothing saves.

    Args:
        optimizer: Optimizer of the run, before its update.
        loss: Loss ().
        norm: Norm of the gradient ().
    """
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = (loss + norm).isfinite().logical_not().float()


def clip_gradient(parameters: Sequence[nn.Parameter], largest: float | None) -> Tensor:
    """The norm of the whole gradient; it is scaled down to ``largest`` where it is above it."""
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if largest is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    return norm
