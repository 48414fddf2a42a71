"""Stores in which ranks leave each other notes: files on one host, a TCP store on several.

Unlike a collective, a note can be read when some ranks have ended or hang.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Protocol, TypeVar

from torch._C._distributed_c10d import TCPStore

T = TypeVar("T")
PREFIX = "cifarzoo/"
BRIEFLY = 3.0


class RankStore(Protocol):
    """Where every rank can write notes and read those of the others."""

    def set(self, name: str, text: str, /) -> None:
        """Write a note, in place of an older one of this name."""

    def get(self, names: Sequence[str], /) -> list[str]:
        """The notes of these names; an empty text for one that there is not."""

    def claim(self, name: str, /) -> bool:
        """Whether this is the first call for ``name`` by any rank."""


class FileRankStore:
    """Notes in files, for ranks of one host.

    Args:
        folder: Private folder of the ranks, new for each attempt.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def set(self, name: str, text: str, /) -> None:
        """Write a note, in place of an older one of this name."""
        temporary = self._folder / f".{name}.{os.getpid()}"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self._folder / name)

    def get(self, names: Sequence[str], /) -> list[str]:
        """The notes of these names; an empty text for one that there is not."""
        return [self._read(self._folder / name) for name in names]

    def claim(self, name: str, /) -> bool:
        """Whether this is the first call for ``name`` by any rank."""
        try:
            (self._folder / f"claimed-{name}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    @staticmethod
    def _read(path: Path) -> str:
        with suppress(FileNotFoundError):
            return path.read_text(encoding="utf-8")
        return ""


class TCPRankStore:
    """Notes in the TCP store of the ranks.

    It has a connection of its own: what waits for an answer on one keeps other threads off it.

    Args:
        address: Host of the store.
        port: Port of the store.
        patience: Seconds that an answer may take.

    Raises:
        torch.distributed.DistError: (from every method) The store does not answer.
    """

    def __init__(self, address: str, port: int, *, patience: float = 20.0) -> None:
        self._known: set[str] = set()
        self._store = TCPStore(
            address,
            port,
            is_master=False,
            timeout=timedelta(seconds=patience),
            wait_for_workers=False,
        )

    def set(self, name: str, text: str, /) -> None:
        """Write a note, in place of an older one of this name."""
        self._store.set(PREFIX + name, text)

    def get(self, names: Sequence[str], /) -> list[str]:
        """The notes of these names; an empty text for one that there is not."""
        # To get what there is not would be to wait for it.
        self._known |= {
            n for n in names if n not in self._known and self._store.check([PREFIX + n])
        }
        there = [name for name in names if name in self._known]
        values = self._store.multi_get([PREFIX + name for name in there]) if there else []
        notes = {name: value.decode() for name, value in zip(there, values, strict=True)}
        return [notes.get(name, "") for name in names]

    def claim(self, name: str, /) -> bool:
        """Whether this is the first call for ``name`` by any rank."""
        return self._store.add(f"{PREFIX}claimed-{name}", 1) == 1


def briefly(ask: Callable[[], T], *, otherwise: T) -> T:
    """What ``ask`` gives, unless a store does not answer it within a few seconds.

    Whoever is about to end must not wait for a host that is cut off, as torch's store may for
    minutes.
    """
    answer: list[T] = []

    def attempt() -> None:
        with suppress(Exception):
            answer.append(ask())

    thread = Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(BRIEFLY)
    return answer[0] if answer else otherwise
