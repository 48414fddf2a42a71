"""Heartbeats: each rank shows that it lives, and notices which of the others no longer does.

A rank is silent when its process is stopped, killed or cut off, however long a step, a test
or a save may take one that lives: a thread of its own sends the beats.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

from cifarzoo.engine.distributed.rendezvous import listed
from cifarzoo.engine.distributed.store import BRIEFLY, RankStore, briefly
from cifarzoo.errors import EXIT_FAILED, CifarzooError, PeerLostError

BEAT_SECONDS = 1.0
LEAVE_SECONDS = 5.0  # until the main thread, which may hang in a collective, is left behind
PAUSE_SECONDS = 5.0  # between two looks at the clock: this process itself was stopped
LINGER_SECONDS = 5.0
LEFT = "left"
STARTING = "starting"
RESUME_HINT = "; the same command goes on from the last checkpoint"


class Heartbeat:
    """Writes this rank's beats and reads the others'.

    Args:
        rank_store: Store of the ranks' notes.
        rank: Number of this process.
        ranks: ``host``, ``pid`` and ``parent`` of each.
        patience: Seconds after which a silent rank is taken for lost.

    Attributes:
        where: Gives what this rank is doing, such as ``in step 17``.
        exit_callbacks: Called with the message before this process is ended from outside its main
            thread.
    """

    def __init__(
        self, rank_store: RankStore, rank: int, ranks: Sequence[dict[str, Any]], *, patience: float
    ) -> None:
        self.where: Callable[[], str] = lambda: STARTING
        self.exit_callbacks: list[Callable[[str], None]] = []
        self._rank_store = rank_store
        self._rank = rank
        self._ranks = ranks
        self._patience = patience
        self._others = [other for other in range(len(ranks)) if other != rank]
        now = time.monotonic()
        self._seen_at = dict.fromkeys(self._others, now)
        self._beats = dict.fromkeys(self._others, "")
        self._answered = now
        self._count = 0
        self._ended = Event()
        self._lost = ""

    def __deepcopy__(self, _memo: object) -> Heartbeat:
        return self  # a copy of a network copies how its norms gather, which leads here

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within ``with``, beats are written and read; the loss of a rank is raised in words.

        Raises:
            PeerLostError: A rank ended or hangs; in place of what the collective raised.
        """
        threads = [Thread(target=target, daemon=True) for target in (self._beat, self._guard)]
        for thread in threads:
            thread.start()
        try:
            with self.naming_lost_ranks():
                yield
        finally:
            self._ended.set()
            # A beat on its way would be written over the last note; and a thread that comes back
            # from torch's store while the interpreter ends has C++ abort the process.
            for thread in threads:
                thread.join(BRIEFLY)
            briefly(lambda: self._rank_store.set(f"beat-{self._rank}", LEFT), otherwise=None)

    def wait_for_others(self) -> None:
        """Wait a little until all have left: the store goes with the process that holds it."""
        until = time.monotonic() + LINGER_SECONDS
        names = [f"beat-{rank}" for rank in self._others]
        with suppress(Exception):
            while any(n != LEFT for n in self._rank_store.get(names)) and time.monotonic() < until:
                time.sleep(BEAT_SECONDS / 20)

    @contextmanager
    def naming_lost_ranks(self) -> Iterator[None]:
        """Within ``with``, the error of a collective whose peer is lost names that peer."""
        try:
            yield
        except Exception as error:
            # A component may have put what failed below it into words of its own.
            cause = error.__cause__ if isinstance(error, CifarzooError) else error
            if isinstance(error, PeerLostError) or not is_lost_peer(cause):
                raise
            lost = self._lost or self._name_dead(str(cause))
            raise PeerLostError(lost + RESUME_HINT) from cause

    def _beat(self) -> None:
        names = [f"beat-{rank}" for rank in self._others]
        while not self._ended.is_set():
            self._count += 1
            with suppress(Exception):  # no answer: the guard's clock runs on
                self._rank_store.set(f"beat-{self._rank}", f"{self._count} {self.where()}")
                notes = self._rank_store.get(names)
                self._answered = time.monotonic()
                for rank, note in zip(self._others, notes, strict=True):
                    if note != self._beats[rank] or note == LEFT:
                        self._beats[rank], self._seen_at[rank] = note, self._answered
            self._ended.wait(BEAT_SECONDS)

    def _guard(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(BEAT_SECONDS):
            now = time.monotonic()
            if now - before > PAUSE_SECONDS:  # Ctrl-Z and fg: no beat was read meanwhile
                self._answered = now
                self._seen_at = dict.fromkeys(self._others, now)
            before = now
            if now - self._answered > self._patience:
                self._leave("the host of rank 0 has not answered", [])
            silent = [rank for rank, at in self._seen_at.items() if now - at > self._patience]
            if silent:
                verb = "has" if len(silent) == 1 else "have"
                self._leave(f"{self._named(silent)} {verb} not answered", silent)

    def _leave(self, what: str, silent: list[int]) -> None:
        """End, since ``silent`` ranks hang; by the main thread if it can still be woken."""
        doing = f" (it was {self._doing(silent[0])})" if len(silent) == 1 else ""
        self._lost = f"{what} for {self._patience:.0f} s{doing}"
        briefly(lambda: self._rank_store.set("lost", self._lost), otherwise=None)
        for rank in silent:
            self._kill_sibling(self._ranks[rank])
        if self._ended.wait(LEAVE_SECONDS):
            return
        for call in self.exit_callbacks:
            with suppress(Exception):
                call(self._lost + RESUME_HINT)
        sys.stderr.flush()
        os._exit(EXIT_FAILED)

    def _kill_sibling(self, rank: dict[str, Any]) -> None:
        """Kill a rank that hangs, if our launcher is its too, which would wait for it."""
        if rank["host"] != self._ranks[self._rank]["host"]:
            return  # process ids mean nothing here, and in containers are often ours
        if _state_of(rank["pid"])[1] == rank["parent"] == os.getppid():
            with suppress(OSError):
                os.kill(rank["pid"], signal.SIGKILL)  # the sockets break, and wake the others

    def _name_dead(self, error: str) -> str:
        """Which rank a collective failed for: one that is dead here, or sends no more beats."""
        here = f"this rank was {self.where()}"
        if "imed out" in error:
            doing = ", ".join(f"rank {rank} {self._doing(rank)}" for rank in self._others)
            return f"ranks waited too long for each other; {here}, {doing}"
        before = dict(self._beats)
        for beat in range(5):
            dead = [rank for rank in self._others if self._is_dead(rank)]
            if dead:
                return f"{self._named(dead)} ended; {here}"
            time.sleep(BEAT_SECONDS)
            if beat == 1:  # the last note of one that ended is read a beat or two later
                before = dict(self._beats)
        silent = [rank for rank in self._others if self._beats[rank] == before[rank]]
        store_answers = time.monotonic() - self._answered < 2 * BEAT_SECONDS
        if len(self._others) == 1 or (silent and store_answers):
            return f"{self._named(silent or self._others)} ended or cannot be reached; {here}"
        return f"another rank ended or cannot be reached; {here}"

    def _is_dead(self, rank: int) -> bool:
        if self._beats[rank] == LEFT:
            return True
        there = self._ranks[rank]
        on_this_host = there["host"] == self._ranks[self._rank]["host"]
        return (
            on_this_host and there["parent"] == os.getppid() and _state_of(there["pid"])[0] == "Z"
        )

    def _named(self, ranks: list[int]) -> str:
        hosts = {self._ranks[rank]["host"] for rank in ranks}
        mine = self._ranks[self._rank]["host"]
        where = f" on {', '.join(sorted(hosts))}" * (hosts != {mine})
        return listed(ranks) + where

    def _doing(self, rank: int) -> str:
        return self._beats[rank].partition(" ")[2] or STARTING


def is_lost_peer(error: BaseException | None) -> bool:
    """Whether a collective failed for a peer, and not for a bug of ours."""
    text = str(error)
    return type(error).__name__ in NETWORK_ERRORS or any(sign in text for sign in NETWORK_SIGNS)


NETWORK_ERRORS = ("DistBackendError", "DistNetworkError", "DistStoreError")
NETWORK_SIGNS = ("gloo/transport", "Connection reset by peer", "Connection closed by peer")


def _state_of(pid: int) -> tuple[str, int]:
    """The state letter and the parent of a process of this host; Z and 0 if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return "Z", 0
    return fields[0], int(fields[1])
