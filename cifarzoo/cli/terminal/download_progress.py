"""Progress of a download: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.units import duration, scaled

EVERY_SECONDS = 10.0  # between the plain lines of one download


class DownloadListener(Protocol):
    """Receives a download's progress; a context manager, so that the terminal is left tidy."""

    def arrived(self, done: int, total: int) -> None:
        """So many bytes are there."""

    def retrying(self, problem: str, seconds: float) -> None:
        """The connection broke; the next attempt starts in so many seconds."""

    def __enter__(self) -> Self:
        """Start listening."""

    def __exit__(self, *_: object) -> None:
        """Stop listening."""


def listener_for(name: str) -> DownloadListener:
    """The listener that suits where stderr goes; ``name`` is the file's."""
    return Bar(name) if console.is_live() else Lines(name)


class Bar:
    """A bar with bytes, speed and time left."""

    def __init__(self, name: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console.messages(),
        )
        self._task = self._progress.add_task(name, total=None)

    def arrived(self, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, total=total)

    def retrying(self, problem: str, seconds: float) -> None:
        """Say why the bar stands still."""
        self._progress.console.print(_retrying(problem, seconds))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


class Lines:
    """A line at the start, one every ten seconds, and one at the end."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._out = console.messages()
        self._started: tuple[float, int] | None = None
        self._last = 0.0

    def arrived(self, done: int, total: int) -> None:
        """Write a line if it is time for one."""
        now = self._clock()
        if self._started is None:
            self._started = (now, done)
        elif done < total and now - self._last < EVERY_SECONDS:
            return
        self._last = now
        self._say(
            f"{self._name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB{self._pace(done, total)}"
        )

    def retrying(self, problem: str, seconds: float) -> None:
        """Say why nothing arrives."""
        self._say(f"{self._name}: {_retrying(problem, seconds)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _pace(self, done: int, total: int) -> str:
        start, before = self._started or (0.0, 0)
        seconds = self._last - start
        if done <= before or seconds <= 0:
            return ""
        speed = (done - before) / seconds
        left = f", {duration((total - done) / speed)} left" if done < total else ""
        return f", {scaled(speed)}B/s{left}"

    def _say(self, text: str) -> None:
        self._out.print(text, soft_wrap=True)


def _retrying(problem: str, seconds: float) -> str:
    return f"{problem}; trying again in {duration(seconds)}"
