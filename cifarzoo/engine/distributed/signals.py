"""Signals that ask a run to stop: they set a flag, and the loop ends its step and saves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from threading import current_thread, main_thread
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


def interrupt() -> NoReturn:
    """Raise what Python raises at Ctrl-C: a second one in a notebook must not end its kernel."""
    raise KeyboardInterrupt


def in_main_thread() -> bool:
    """Whether this thread may handle signals, as Python lets the main thread alone."""
    return current_thread() is main_thread()


class StopRequest:
    """Within ``with``, catches the stopping signals; outside of the main thread, none.

    Args:
        at_second_interrupt: Called at a second Ctrl-C; None: nothing is, as under a launcher,
            which gets every Ctrl-C too and passes it on, so that ranks see two.

    Attributes:
        number: The first signal that came, or 0.
    """

    def __init__(self, *, at_second_interrupt: Callable[[], NoReturn] | None = end_at_once) -> None:
        self.number = 0
        self._at_second_interrupt = at_second_interrupt
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in STOPPING if in_main_thread() else ():
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
        if self.number and number == signal.SIGINT and self._at_second_interrupt is not None:
            self._at_second_interrupt()
        self.number = self.number or number
