"""What a download tells whoever shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Listener(Protocol):
    """Receives how a download goes on and cannot change it."""

    def starting(self, name: str) -> None:
        """The file of that name comes next."""

    def arrived(self, done: int, total: int) -> None:
        """So many bytes are there."""

    def retrying(self, problem: str, seconds: float) -> None:
        """The connection broke; the next attempt starts in so many seconds."""

    def checking(self, title: str) -> None:
        """The images of a dataset are read, which takes seconds."""

    def leaving(self, mirror: str, problem: str, following: str) -> None:
        """A mirror is given up, and the next one is tried."""

    def set_aside(self, path: Path) -> None:
        """Another file was in the way and has this path now."""
