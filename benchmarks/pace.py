"""Turns: a contender trains when it is told to, and says what that took.

A contender's own loop calls ``step_done`` after each step and is held there between its turns.
Its loader's workers are then idle with their queues full, as at the start of the next turn: a
turn is a piece of a long epoch, and nobody's start-up is counted.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

QUIET_SECONDS = 0.3  # that workers must be idle before their time is read
PATIENCE_SECONDS = 20.0


class Pace:
    """Holds a loop between its turns, which a parent process gives on stdin: steps a line."""

    def __init__(self) -> None:
        self._left = 0
        self._images = 0
        self._started = (0.0, 0.0)

    def step_done(self, images: int) -> None:
        """A step on ``images`` images was done; returns when the next may begin.

        The first call ends what isn't timed: start-up and the first step.
        """
        self._left -= 1
        self._images += images
        if self._left > 0:
            return
        wall = time.perf_counter() - self._started[0]
        cpu = cpu_seconds_when_idle() - self._started[1]
        _say({"images": self._images, "wall_seconds": wall, "cpu_seconds": cpu})
        line = sys.stdin.readline().strip()
        if not line:
            _end()
        self._left, self._images = int(line), 0
        cpu = cpu_seconds()
        self._started = (time.perf_counter(), cpu)


def cpu_seconds() -> float:
    """CPU time of this process and of its loader's workers."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = time.process_time()
    for worker in multiprocessing.active_children():
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks  # user and system
    return total


def cpu_seconds_when_idle() -> float:
    """The same, once the workers have filled their queues and stopped."""
    began = time.perf_counter()
    before = cpu_seconds()
    while multiprocessing.active_children() and time.perf_counter() - began < PATIENCE_SECONDS:
        time.sleep(QUIET_SECONDS)
        now = cpu_seconds()
        if now - before < QUIET_SECONDS / 10:
            break
        before = now
    return cpu_seconds()


def _say(turn: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(turn) + "\n")
    sys.stdout.flush()


def _end() -> None:
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(0)  # in the middle of a loop, with a loader that would be waited for
