"""The rendezvous of ranks: their store, who is there, and whether all are to train the same."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from torch._C._distributed_c10d import FileStore, PrefixStore, Store, TCPStore

from cifarzoo.engine.distributed.environment import STORE, RankEnvironment, is_launched_by_us
from cifarzoo.engine.distributed.store import FileRankStore, RankStore, TCPRankStore
from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.run_folders.strict_json import strict_json

T = TypeVar("T")
START_SECONDS = 300.0  # slow file systems and imports
ANSWER_SECONDS = 15.0  # within which a store that has taken a connection must answer
POLL_SECONDS = 0.02


def open_store(
    environment: RankEnvironment, while_waiting: Callable[[], None] = lambda: None
) -> tuple[Store, RankStore]:
    """The store at which the process group is made, and the store of notes of its ranks.

    Args:
        environment: Place of this process among the ranks.
        while_waiting: Called again and again; what it raises ends the waiting.

    Raises:
        UsageError: The port is in use, or something else answers there, or nothing does.
    """
    if is_launched_by_us():
        folder = Path(os.environ[STORE])
        return FileStore(str(folder / "ranks"), environment.size), FileRankStore(folder)
    if environment.hosts_store:
        _check_port(environment.port)
    else:
        _await_port(environment, while_waiting)
    where = f"{environment.address}:{environment.port}"

    def connect() -> tuple[Store, RankStore]:
        store = TCPStore(
            environment.address,
            environment.port,
            world_size=None,
            is_master=environment.hosts_store,
            timeout=timedelta(seconds=START_SECONDS),
            wait_for_workers=False,
        )
        store.set(f"cifarzoo/probe-{environment.rank}", "")
        return PrefixStore("ranks", store), TCPRankStore(environment.address, environment.port)

    return _within(
        ANSWER_SECONDS,
        connect,
        otherwise=f"what listens on {where} is no store of ranks, or does not answer; "
        "choose another MASTER_PORT",
        while_waiting=while_waiting,
    )


def claim_rank(rank_store: RankStore, environment: RankEnvironment) -> None:
    """Be the one process of this rank.

    Raises:
        UsageError: Another came before; it and the others know nothing of this one.
    """
    if not rank_store.claim(f"rank-{environment.rank}"):
        error = UsageError(
            f"another process came as rank {environment.rank} before this one; give each a RANK "
            "of its own, or start all ranks again"
        )
        error.is_reported = False
        raise error


def rendezvous(
    rank_store: RankStore,
    environment: RankEnvironment,
    fingerprint: Mapping[str, str],
    while_waiting: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Wait until every rank is there, and compare what they are to train, and with what.

    Args:
        rank_store: Store of the ranks' notes.
        environment: Place of this process among the ranks.
        fingerprint: Digests of what must be the same on every rank, by what it is called.
        while_waiting: Called again and again; what it raises ends the waiting.

    Returns:
        The ``host``, ``pid`` and ``parent`` of each rank.

    Raises:
        CifarzooError: Ranks did not come in time.
        UsageError: One is to train something else.
    """
    here = {"host": socket.gethostname(), "pid": os.getpid(), "parent": os.getppid()}
    rank_store.set(
        f"here-{environment.rank}", strict_json({**here, "fingerprint": dict(fingerprint)})
    )
    names = [f"here-{rank}" for rank in range(environment.size)]
    until = time.monotonic() + START_SECONDS
    while not all(notes := rank_store.get(names)):
        if time.monotonic() > until:
            missing = [rank for rank, note in enumerate(notes) if not note]
            raise CifarzooError(
                f"{environment.size - len(missing)} of {environment.size} ranks came within "
                f"{START_SECONDS:.0f} s; {listed(missing)} did not"
            )
        while_waiting()
        time.sleep(POLL_SECONDS)
    ranks = [json.loads(note) for note in notes]
    _check_fingerprints(ranks)
    return ranks


def listed(ranks: list[int]) -> str:
    """``rank 1``, or ``ranks 1, 2 and 5``."""
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    return f"ranks {', '.join(map(str, ranks[:-1]))} and {ranks[-1]}"


def _check_fingerprints(ranks: list[dict[str, Any]]) -> None:
    first = ranks[0]["fingerprint"]
    for what, value in first.items():
        others = [r for r, rank in enumerate(ranks) if rank["fingerprint"].get(what) != value]
        if others:
            other = ranks[others[0]]
            raise UsageError(
                f"{listed(others)} (on {other['host']}) and rank 0 (on {ranks[0]['host']}) have "
                f"another {what}: {_short(other['fingerprint'].get(what))} and {_short(value)}; "
                "start the same command with the same files on every host"
            )


def _short(value: str | None) -> str:
    return "none" if value is None else value[:16]


def _check_port(port: int) -> None:
    """Refuse a port that somebody holds; torch's store would wait for its answer for ever."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the store does
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"port {port} of this host is in use; choose another MASTER_PORT"
                ) from error
            raise UsageError(f"port {port} cannot be used: {error.strerror}") from error


def _await_port(environment: RankEnvironment, while_waiting: Callable[[], None]) -> None:
    """Wait until something listens where rank 0 or the launcher opens the store."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(
                (environment.address, environment.port), timeout=ANSWER_SECONDS
            ).close()
        except OSError as error:
            if time.monotonic() > until:
                raise CifarzooError(
                    f"rank {environment.rank} found no store at {environment.address}:"
                    f"{environment.port} within {START_SECONDS:.0f} s: {error.strerror or error}; "
                    "is rank 0 running, and is its host reached from here?"
                ) from error
            while_waiting()
            time.sleep(10 * POLL_SECONDS)
        else:
            return


def _within(
    seconds: float, work: Callable[[], T], *, otherwise: str, while_waiting: Callable[[], None]
) -> T:
    """What ``work`` gives, unless it takes too long: torch's store itself has no such limit."""
    answer: list[T] = []
    failure: list[Exception] = []

    def attempt() -> None:
        try:
            answer.append(work())
        except Exception as error:
            failure.append(error)

    thread = Thread(target=attempt, daemon=True)
    thread.start()
    until = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < until:
        while_waiting()
        thread.join(10 * POLL_SECONDS)
    if failure:
        reason = str(failure[0]).partition("\n")[0]
        raise UsageError(f"{otherwise} ({reason})") from failure[0]
    if not answer:
        raise UsageError(otherwise)
    return answer[0]
