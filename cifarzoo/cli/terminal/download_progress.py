"""Progress of downloads: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.units import duration, scaled
from cifarzoo.data.download.listener import Listener

EVERY_SECONDS = 10.0  # between the plain lines of one download


class DownloadListener(Listener, Protocol):
    """Receives a download's progress; a context manager, so that the terminal is left tidy."""

    def __enter__(self) -> Self:
        """Start listening."""

    def __exit__(self, *_: object) -> None:
        """Stop listening."""


def listener() -> DownloadListener:
    """The listener that suits where stderr goes."""
    return Bar() if console.is_live() else Lines()


class Bar:
    """A bar with bytes, speed and time left, of one file after the other."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console.messages(),
        )
        self._task: TaskID | None = None

    def starting(self, name: str) -> None:
        """Begin a bar, below that of the file before."""
        self._task = self._progress.add_task(name, total=None)

    def arrived(self, done: int, total: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def retrying(self, problem: str, seconds: float) -> None:
        """Say why the bar stands still."""
        self._progress.console.print(_retrying(problem, seconds))

    def checking(self, title: str) -> None:
        """Say why nothing moves."""
        self._progress.console.print(_checking(title))

    def leaving(self, mirror: str, problem: str, following: str) -> None:
        """Say why the bar goes away."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._progress.refresh()  # or it is drawn again below what is printed
            self._task = None
        self._progress.console.print(_leaving(mirror, problem, following))

    def set_aside(self, path: Path) -> None:
        """Warn of the other file, above the bar."""
        console.warn(_set_aside(path))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


class Lines:
    """A line at the start of a file, one every ten seconds, and one at its end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = ""
        self._clock = clock
        self._out = console.messages()
        self._started: tuple[float, int] | None = None
        self._last = 0.0

    def starting(self, name: str) -> None:
        """Forget how the file before came."""
        self._name = name
        self._started = None

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

    def checking(self, title: str) -> None:
        """Say what takes a while."""
        self._say(_checking(title))

    def leaving(self, mirror: str, problem: str, following: str) -> None:
        """Say which mirror comes next, and why."""
        self._say(_leaving(mirror, problem, following))

    def set_aside(self, path: Path) -> None:
        """Warn of the other file."""
        console.warn(_set_aside(path))

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


def _checking(title: str) -> str:
    return f"checking that these are the images of {title}"


def _leaving(mirror: str, problem: str, following: str) -> str:
    return f"leaving {mirror}: {problem}; going on with {following}"


def _set_aside(path: Path) -> str:
    return f"another file was in the way, and is {path} now"
