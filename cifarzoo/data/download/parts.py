"""What has arrived of a file so far, under a name of its own until it is whole and checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from io import BufferedReader, BufferedWriter
from pathlib import Path

from cifarzoo.files.real_folder import RealFolder


def part_of(name: str) -> str:
    """The name that a file has while it arrives."""
    return f"{name}.part"


class Part:
    """The beginning of a file, or all of it; of an earlier attempt's nothing is deleted.

    Args:
        files: Folder that it is in.
        name: Name of the part.
        set_aside: Called with the path that another file has now which was in its way.
    """

    def __init__(self, files: RealFolder, name: str, set_aside: Callable[[Path], None]) -> None:
        self._files = files
        self._name = name
        self._set_aside = set_aside
        self._is_new = not files.kind(name)

    @property
    def is_new(self) -> bool:
        """Whether all that is there came in this attempt."""
        return self._is_new

    @property
    def size(self) -> int:
        """Number of bytes; 0: there are none."""
        return self._files.size(self._name)

    @property
    def sha256(self) -> str:
        """The digest of what is there, in hexadecimal."""
        with self._opened() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def continued(self) -> BufferedWriter:
        """The file, to write at its end."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.fdopen(self._files.open(self._name, flags), "ab")

    def clear(self) -> None:
        """Have nothing there, but keep what this attempt hasn't made, under another name."""
        if not self._files.kind(self._name):
            return
        if self._is_new:
            self._files.take_away(self._name)
        else:
            self._set_aside(self._files.set_aside(self._name))
        self._is_new = True

    def finish(self, name: str) -> None:
        """Give it the name ``name``, and what has that now another one."""
        with self._opened() as file:
            os.fsync(file.fileno())
        if self._files.kind(name):
            self._set_aside(self._files.set_aside(name))
        self._files.rename(self._name, name)
        self._name = name

    def _opened(self) -> BufferedReader:
        return os.fdopen(self._files.open(self._name), "rb")
