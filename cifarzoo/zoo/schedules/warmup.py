"""Warm-up, which every schedule here offers: the whole schedule times a line from 0 to 1.

As Flax's library does it: the schedule underneath runs from step 0 on, warm-up or not. Not
here: warm-ups that delay the schedule, or that start above zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cifarzoo.protocols import Timestamp, warnings_of


@dataclass(frozen=True)
class WarmedUp:
    """A schedule times ``min(1, epoch / warmup_epochs)``; the factor of step 0 is then 0.

    Attributes:
        schedule: What is warmed up.
        warmup_epochs: Length of the line, in epochs; 0: none.
    """

    schedule: Callable[[Timestamp], float]
    warmup_epochs: float

    def __call__(self, moment: Timestamp) -> float:
        """The factor on the base learning rate at ``moment``."""
        if moment.epoch >= self.warmup_epochs:
            return self.schedule(moment)
        return self.schedule(moment) * (moment.epoch / self.warmup_epochs)

    def warnings(self, total_epochs: float) -> list[str]:
        """What a run of ``total_epochs`` is too short for, a line each."""
        found = list(warnings_of(self.schedule, total_epochs))
        if self.warmup_epochs > total_epochs:
            found.append(
                f"warm-up of {epochs(self.warmup_epochs)} is longer than the run "
                f"({epochs(total_epochs)})"
            )
        return found


def epochs(number: float) -> str:
    """``1 epoch``, ``0.667 epochs``: a length of training in words."""
    return f"{number:.3g} epoch{'s' * (number != 1)}"
