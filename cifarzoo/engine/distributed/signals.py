"""Signals that ask a run to stop: they set a flag, and the loop ends its step and saves."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from cifarzoo.errors import EXIT_INTERRUPTED

# submitit warns a job by SIGUSR2 and SLURM scripts often do by SIGUSR1; a terminal that is
# closed sends SIGHUP.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


ERASE_LINE = b"\r\x1b[2K"


def end_at_once() -> NoReturn:
    """End this process for somebody who asked twice: no ``finally`` may hold that up.

    On a terminal the line of a progress bar is erased.
    """
    if os.isatty(2):
        os.write(2, ERASE_LINE)
    os._exit(EXIT_INTERRUPTED)


class StopRequest:
    """Within ``with``, catches the stopping signals.

    Args:
        counts_interrupts: Whether a second Ctrl-C ends the process at once. False under a
            launcher, which gets every Ctrl-C too and passes it on, so that ranks see two.

    Attributes:
        number: The first signal that came, or 0.
    """

    def __init__(self, *, counts_interrupts: bool = True) -> None:
        self.number = 0
        self._counts_interrupts = counts_interrupts
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in STOPPING:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def end_if_asked(self) -> None:
        """End this process by the signal that came, if one did: nothing was begun yet."""
        if self.number:
            signal.signal(self.number, signal.SIG_DFL)
            os.kill(os.getpid(), self.number)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT and self._counts_interrupts:
            end_at_once()
        self.number = self.number or number
