"""One optimizer step: forward, loss, backward, what all ranks agree on, update."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cifarzoo import dropout
from cifarzoo.engine.distributed import unsynchronised
from cifarzoo.engine.plan import Plan
from cifarzoo.engine.training import Training
from cifarzoo.errors import NotFiniteError
from cifarzoo.norm import batch_norms, running_statistics, tracked
from cifarzoo.randomness import SiteDraw, draw_sites, feed, generator, key, site_draws


@dataclass(frozen=True)
class Report:
    """What every rank knows of a step.

    Attributes:
        loss: Mean over the global batch.
        signal: Number of a signal that reached any rank, or 0.
        save_due: Whether a checkpoint is due after the step.
    """

    loss: float
    signal: int
    save_due: bool

    @property
    def signal_name(self) -> str:
        """Such as SIGTERM."""
        return signal.Signals(self.signal).name


def take_step(training: Training, images: Tensor, targets: Tensor) -> Report:
    """Train on this rank's rows of one batch.

    Args:
        training: What is trained; its model, optimizer and scaler change.
        images: (n, 3, H, W).
        targets: (n, K).

    Raises:
        NotFiniteError: A loss or gradient isn't finite; raised on every rank, before the update.
    """
    state, plan, world = training.state, training.plan, training.world
    sites = site_draws(state.model)
    gates = gates_of_step(training, sites, images.device)
    dropouts = dropout.dropouts(state.model)
    first = plan.part(world.rank).start
    reports: list[Report] = []

    def closure() -> Tensor:
        seed_torch(training.run.seed, "torch", state.step, world.rank)
        state.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=images.device)
        running = MeanOfParts(tracked(state.model), plan.num_micro_batches)
        for rows in micro_batches(plan):
            running.start_part()
            feed(sites, gates[:, rows])
            dropout.feed(
                dropouts, seed=training.run.seed, step=state.step, first=first + rows.start
            )
            is_last = rows.stop == plan.local_batch_size
            with unsynchronised(training.parallel, active=not is_last):
                with state.scaler.autocast():
                    logits = training.parallel(images[rows])
                part = training.components.loss(logits.float(), targets[rows])
                part = part / plan.num_micro_batches  # equal parts: the mean of means is the mean
                state.scaler.backward(part)
            loss += part.detach()
            running.end_part()
        state.scaler.unscale(state.optimizer)
        norm = clip_gradient(state.model, training.run.clip_norm)
        reports.append(agree(training, loss, norm))
        return loss

    state.scaler.step(state.optimizer, closure)
    world.average_(statistics_of_ranks(state.model, plan))
    return reports[0]


def statistics_of_ranks(model: nn.Module, plan: Plan) -> list[Tensor]:
    """Running statistics in which ranks differ: of smaller groups, or of norms without any."""
    if plan.world_size == 1:
        return []
    if plan.bn_ranks < plan.world_size:
        return running_statistics(model)
    shared = {id(tensor) for module in batch_norms(model) for tensor in module.buffers()}
    return [tensor for tensor in running_statistics(model) if id(tensor) not in shared]


class MeanOfParts:
    """Makes buffers take in the micro-batches of a step as one: each from where the step began.

    Otherwise BatchNorm's running statistics would move as many times as there are
    micro-batches, and accumulation would change what is learned.

    Args:
        buffers: What each part changes.
        num_parts: Micro-batches in the step; 1: nothing needs to be done.
    """

    def __init__(self, buffers: list[Tensor], num_parts: int) -> None:
        self._num_parts = num_parts
        self._buffers = buffers if num_parts > 1 else []
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
    """The rows of a rank's batch that go through the network together."""
    size = plan.micro_batch_size
    return [slice(start, start + size) for start in range(0, plan.local_batch_size, size)]


def gates_of_step(training: Training, sites: list[SiteDraw], device: torch.device) -> Tensor:
    """The numbers that branch modules need in this step, for this rank's rows: (sites, n)."""
    plan, step = training.plan, training.state.step
    rng = generator(training.run.seed, "branch", step // plan.steps_per_epoch, step)
    numbers = draw_sites(sites, rng, plan.batch_size)[:, plan.part(training.world.rank)]
    return torch.from_numpy(numbers.copy()).to(device, non_blocking=True)


def seed_torch(seed: int, *purpose: str | int) -> None:
    """Reseed torch's own generators, which dropout and plugins may draw from.

    That is exact on resume, and not independent of the number of ranks.
    """
    number = key(seed, *purpose) % 2**63
    torch.default_generator.manual_seed(number)  # torch.manual_seed costs a hundred times this
    if torch.cuda.is_available():
        torch.cuda.manual_seed(number)


def clip_gradient(model: nn.Module, largest: float | None) -> Tensor:
    """The norm of the whole gradient; it is scaled down to ``largest`` where it is above it."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if largest is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    return norm


def agree(training: Training, loss: Tensor, norm: Tensor) -> Report:
    """One exchange a step: what all ranks must know to take the same decisions.

    Raises:
        NotFiniteError: The loss or the gradient of any rank isn't finite.
    """
    state = training.state
    save_due = training.clock.save_is_due(state.step + 1)
    signal_number = training.stop.number
    table = training.world.gather_numbers(float(loss), float(norm), signal_number, save_due)
    losses, norms = table[:, 0], table[:, 1]
    if not bool(losses.isfinite().all()):
        what, wrong = "loss", losses
    elif not bool(norms.isfinite().all()) and not state.scaler.may_overflow:
        what, wrong = "gradient", norms
    else:
        return Report(float(losses.mean()), int(table[:, 2].max()), bool(table[0, 3]))
    rank = int((~wrong.isfinite()).nonzero()[0])
    images = training.batches.indices(state.step, rank=rank)[:4]
    raise NotFiniteError(
        f"the {what} is not finite in step {state.step + 1}, at learning rate {state.rate:.4g}, on "
        f"training images {', '.join(map(str, images))}, …; nothing was saved since; lower the "
        "learning rate, or look at the data"
    )
