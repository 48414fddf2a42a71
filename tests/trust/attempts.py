"""Attempts that may be killed: each a fork, in a session of its own, of one zygote with torch.

Importing torch takes seconds and a fork milliseconds. The zygote is the standard library's fork
server, which is this process's child and shared by the ranks that an attempt launches; so
whatever outlives an attempt is a child of the zygote, and is found.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from cifarzoo.cli.app import PLACES

PRELOADED = [
    "tests.trust.workload",
    *(f"cifarzoo.cli.{place.module}" for place in PLACES.values()),
    "cifarzoo.api.execution",
    "cifarzoo.config",
    "cifarzoo.engine.assembly.describe",
    "tensorboardX",
    "torch._dynamo",  # torch imports it when the first optimizer is made: a second of each attempt
]
LOG = "TRUST_LOG"
TIMEOUT = 120.0  # of an attempt; one that takes longer hangs
FORKSERVER = get_context("forkserver")
FORKSERVER.set_forkserver_preload(PRELOADED)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How an attempt ended.

    Attributes:
        code: Its exit code; the negative number of the signal that killed it.
        seconds: From its start, or from ``wait``'s if that was told so.
        hung: Whether it had to be killed after ``TIMEOUT``.
        said: What it wrote to stdout and stderr.
    """

    code: int
    seconds: float
    hung: bool
    said: str


class Attempt:
    """``work(*arguments)`` in a new process, which ends with what ``work`` returns.

    Args:
        work: A module's function; it returns an exit code, or None for 0.
        arguments: Picklable.
        log: Where what it says goes.
        environment: Variables that are set in it besides those of this process.
    """

    def __init__(
        self,
        work: Callable[..., int | None],
        *arguments: Any,
        log: Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._log = log
        self._started = time.monotonic()
        self._process: BaseProcess = FORKSERVER.Process(
            target=_attempt, args=(work, arguments, str(log), environment or {})
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process id, which is also its session's and its process group's."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def send(self, number: int) -> float:
        """Send it a signal, unless it has ended; the time at which that was."""
        if self.is_alive:
            os.kill(self.pid, number)
        return time.monotonic()

    def wait(self, *, since: float | None = None, timeout: float = TIMEOUT) -> Ended:
        """Wait until it has ended; kill it if it takes longer than ``timeout``."""
        self._process.join(timeout)
        hung = self._process.is_alive()
        if hung:
            os.kill(self.pid, signal.SIGKILL)
            self._process.join()
        seconds = time.monotonic() - (since or self._started)
        code = self._process.exitcode
        assert code is not None
        said = self._log.read_text(errors="replace") if self._log.exists() else ""
        return Ended(code=code, seconds=seconds, hung=hung, said=said)


def attempt(
    work: Callable[..., int | None],
    *arguments: Any,
    log: Path,
    environment: dict[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Ended:
    """``Attempt``, waited for."""
    return Attempt(work, *arguments, log=log, environment=environment).wait(timeout=timeout)


def say_into_log() -> None:
    """Let this process write where its attempt does: ranks are children of the zygote."""
    number = os.open(os.environ[LOG], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(number, stream)


def orphans(*, patience: float = 0.0) -> list[int]:
    """Processes that outlive every attempt, by id, after ``patience`` seconds to end in."""
    until = time.monotonic() + patience
    while (found := _children_of_zygote()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def end_orphans() -> None:
    """Kill what outlives an attempt, so that it disturbs no other case."""
    for pid in _children_of_zygote():
        os.kill(pid, signal.SIGKILL)
    orphans(patience=5.0)


def _children_of_zygote() -> list[int]:
    zygote = forkserver._forkserver._forkserver_pid
    if zygote is None:
        return []
    try:
        children = Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(pid) for pid in children if _lives(pid)]


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _attempt(
    work: Callable[..., int | None],
    arguments: tuple[Any, ...],
    log: str,
    environment: dict[str, str],
) -> None:
    os.setsid()
    os.environ[LOG] = log
    say_into_log()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the fork server ignores it
    # Ranks that this attempt launches are children of the same server; of itself the standard
    # library would start another, which would import torch again.
    forkserver.ensure_running = forkserver._forkserver.ensure_running = lambda: None
    os.environ.update(environment)
    sys.exit(work(*arguments))
