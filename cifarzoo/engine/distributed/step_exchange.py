"""What all ranks must know of each step to take the same decisions: one exchange a step.

On a CPU it is read at once. On a GPU reading would wait for the device, so a step's numbers
are read after the next step was queued, and before anything is tested or saved.
"""

from __future__ import annotations

import math
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cifarzoo.engine.distributed.world import World
from cifarzoo.errors import NotFiniteError

MOST_OVERFLOWS = 25  # the scale is halved by each: from 65536 it is then below 1


@dataclass(frozen=True)
class StepReport:
    """What every rank knows of a step.

    Attributes:
        loss: Mean over the global batch.
        signal: Number of a signal that reached any rank, or 0.
        save_due: Whether a checkpoint is due after the step.
    """

    loss: float
    signal: int = 0
    save_due: bool = False

    def merged(self, later: StepReport) -> StepReport:
        """What this and a later report ask for together."""
        is_due = self.save_due or later.save_due
        return StepReport(later.loss, self.signal or later.signal, is_due)

    @property
    def signal_name(self) -> str:
        """Such as SIGTERM."""
        return signal.Signals(self.signal).name


@dataclass(frozen=True, kw_only=True)
class StepInfo:
    """A step, as messages name it.

    Attributes:
        number: Optimizer steps done before it.
        rate: Learning rate of the step.
    """

    number: int
    rate: float


@dataclass(frozen=True)
class _Posted:
    step: StepInfo
    table: Tensor
    flags: Tensor | None  # of this rank, where it is the only one
    arrived: torch.cuda.Event | None

    def read(self) -> Tensor:
        """The row (4,) of each rank: its loss, norm, signal, and whether a save is due."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.table if self.flags is None else torch.cat([self.table, self.flags[None]], 1)


class StepExchange:
    """The exchange of one run.

    Args:
        world: Ranks of the run.
        images_of: The first images of a rank's part of a step's batch, for messages.
        may_overflow: Whether a gradient that isn't finite is skipped rather than an error.
        delay: Steps after which a step's numbers are read.
    """

    def __init__(
        self,
        world: World,
        *,
        images_of: Callable[[int, int], list[int]],
        may_overflow: bool,
        delay: int,
    ) -> None:
        self._world = world
        self._images_of = images_of
        self._may_overflow = may_overflow
        self._delay = delay
        self._posted: deque[_Posted] = deque()
        self._newest = -1  # step that was reported
        self._overflows = 0  # steps in a row that float16 could not hold

    def submit(
        self, step: StepInfo, loss: Tensor, norm: Tensor, *, signal_number: int, save_due: bool
    ) -> list[StepReport]:
        """Hand this rank's numbers in, and read those that are due.

        A second pass over a batch, as some optimizers make, is checked and not reported.

        Args:
            step: Whose numbers these are.
            loss: Loss of this rank's part of the batch.
            norm: Norm of this rank's gradient.
            signal_number: Number of a signal that came to this rank, or 0.
            save_due: Whether a checkpoint is due by this rank's clock; rank 0's counts.

        Raises:
            NotFiniteError: The loss or the gradient of any rank isn't finite; on every rank.
        """
        flags = torch.tensor([signal_number, save_due], dtype=torch.float64)
        row = torch.stack([loss, norm]).double()
        is_alone = self._world.size == 1  # then they need not go through the device
        if not is_alone:
            row = torch.cat([row, flags.to(row.device, non_blocking=True)])
        table = self._world.gather(row)
        self._posted.append(_on_its_way(step, table, flags if is_alone else None))
        return self._read(leaving=self._delay)

    def flush(self) -> list[StepReport]:
        """Read whatever was not read yet.

        Raises:
            NotFiniteError: As ``submit``.
        """
        return self._read(leaving=0)

    def _read(self, *, leaving: int) -> list[StepReport]:
        reports = []
        while len(self._posted) > leaving:
            posted = self._posted.popleft()
            report = self._report(posted.step, posted.read())
            if posted.step.number != self._newest:
                self._newest = posted.step.number
                reports.append(report)
        return reports

    def _report(self, step: StepInfo, table: Tensor) -> StepReport:
        losses, norms, signals, saves = table.unbind(1)
        self._check(step, "loss", losses)
        if self._may_overflow:
            self._count_overflow(step, norms)
        else:
            self._check(step, "gradient", norms)
        return StepReport(float(losses.mean()), int(signals.max()), bool(saves[0]))

    def _count_overflow(self, step: StepInfo, norms: Tensor) -> None:
        self._overflows = 0 if math.isfinite(float(norms.sum())) else self._overflows + 1
        if self._overflows == MOST_OVERFLOWS:
            raise NotFiniteError(
                f"the gradient overflowed float16 in {MOST_OVERFLOWS} steps in a row, up to step "
                f"{step.number + 1}, at learning rate {step.rate:.4g}, whatever the loss was "
                "scaled by; lower the learning rate, or set run.precision to 'bfloat16'"
            )

    def _check(self, step: StepInfo, what: str, numbers: Tensor) -> None:
        if math.isfinite(float(numbers.sum())):
            return
        wrong = (~numbers.isfinite()).nonzero()
        rank = int(wrong[0]) if len(wrong) else 0
        images = ", ".join(map(str, self._images_of(step.number, rank)))
        raise NotFiniteError(
            f"the {what} is not finite in step {step.number + 1}, at learning rate "
            f"{step.rate:.4g}, on training images {images}, …; nothing was saved since; lower the "
            "learning rate, or look at the data"
        )


def _on_its_way(step: StepInfo, table: Tensor, flags: Tensor | None) -> _Posted:
    if table.device.type != "cuda":
        return _Posted(step, table, flags, None)
    host = torch.empty(table.shape, dtype=table.dtype, pin_memory=True)
    host.copy_(table, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's
    arrived.record()
    return _Posted(step, host, flags, arrived)
