"""Folders that others may have written in: what is in them is opened for what it is.

A run's folder or a dataset may come from a stranger, or lie where others write. The folder itself
and those above it may be links, such as to a larger disk. Below it files have to be regular and
folders real: a link isn't followed and a pipe or device isn't waited for, also where one takes a
file's place in between, since each part of a path is opened from the descriptor of the one before.

Hard links are what they are: who makes one could write that file anyway.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

from cifarzoo.errors import UsageError

FILE, FOLDER, LINK = "file", "folder", "link"
KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: LINK,
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
}
ELSE = "device"
SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
SHOWN = 80  # characters of a link's target in a message


class OddFileError(UsageError, OSError):
    """Something else than a regular file, or a real folder, is in its place.

    It is an ``OSError`` too, with words for ``strerror``: whoever says that a file can't be read
    or written says why.
    """

    def __str__(self) -> str:
        return f"{self.filename} cannot be used: {self.strerror}"


@dataclass(frozen=True)
class RealFolder:
    """A folder in which, and below which, nothing but regular files and real folders is opened.

    Attributes:
        root: Path of a folder that may be a link itself.
        inside: Path of this folder in ``root``; no part of it may be a link. Empty: ``root``.
    """

    root: Path
    inside: str = ""

    @property
    def path(self) -> Path:
        """Path of the folder."""
        return self.root / self.inside

    def below(self, name: str) -> RealFolder:
        """A folder in this one."""
        return RealFolder(self.root, f"{self.inside}/{name}".lstrip("/"))

    @contextmanager
    def _parent(self, name: str) -> Iterator[tuple[int, str]]:
        """A descriptor of the folder that ``name`` is in, and the last part of ``name``."""
        folder, _, last = name.rpartition("/")
        with (self.below(folder) if folder else self).held() as here:
            yield here, last

    @contextmanager
    def held(self, *, make: bool = False) -> Iterator[int]:
        """A descriptor of the folder, for as long as it is used.

        Args:
            make: Whether the folders below ``root`` are made that are missing.

        Raises:
            OddFileError: One of them is something else than a folder.
            OSError: One is missing, or can't be opened.
        """
        here, path = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), self.root
        try:
            for part in filter(None, self.inside.split("/")):
                path /= part
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=here)
                _check(part, here, path, FOLDER)
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | SAFELY, dir_fd=here)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)

    def kind(self, name: str) -> str:
        """What is called ``name`` here: ``file``, ``folder``, ``link`` …; nothing: there is none.

        Raises:
            OddFileError: This folder is none.
        """
        try:
            with self._parent(name) as (here, last):
                return _kind(os.stat(last, dir_fd=here, follow_symlinks=False).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def check(self, name: str, wanted: str) -> None:
        """Refuse what is called ``name`` if it is there and not of the kind ``wanted``.

        Raises:
            OddFileError: It is of another one.
        """
        with suppress(FileNotFoundError), self._parent(name) as (here, last):
            _check(last, here, self.path / name, wanted)

    def names(self) -> list[str]:
        """The names of all that is in it, sorted; none if it isn't there."""
        try:
            with self.held() as here:
                return sorted(os.listdir(here))  # noqa: PTH208  # of a descriptor
        except (FileNotFoundError, NotADirectoryError):
            return []

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """A descriptor of a regular file.

        Raises:
            OddFileError: It is something else.
            OSError: It can't be opened.
        """
        with self._parent(name) as (here, last):
            if not flags & os.O_EXCL:  # not even opened, where that can be told
                with suppress(FileNotFoundError):
                    _check(last, here, self.path / name, FILE)
            number = os.open(last, flags | SAFELY, 0o666, dir_fd=here)
        kind = _kind(os.fstat(number).st_mode)
        if kind != FILE:
            os.close(number)
            raise _odd(kind, self.path / name, FILE)
        return number

    def read(self, name: str, *, at_most: int | None = None) -> bytes:
        """The bytes of a regular file.

        Args:
            name: Name of the file.
            at_most: How many it may have; None: any number.

        Raises:
            OddFileError: It is something else, or larger.
            OSError: It can't be read.
        """
        with os.fdopen(self.open(name), "rb") as file:
            return _content(file, self.path / name, at_most)

    def size(self, name: str) -> int:
        """The number of bytes of a regular file; 0: there is none."""
        try:
            number = self.open(name)
        except FileNotFoundError:
            return 0
        try:
            return os.fstat(number).st_size
        finally:
            os.close(number)

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write a file that isn't there, and see it onto the disk."""
        self._write(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, data)

    def append(self, name: str, data: bytes) -> None:
        """Write at the end of a file, and see it onto the disk."""
        self._write(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, data)

    def replace(self, name: str, data: bytes) -> None:
        """Replace a file at once: readers see the old one or the new one, also after a power cut.

        Raises:
            OddFileError: Something else than a file is in its place.
            OSError: It can't be written.
        """
        folder, _, last = name.rpartition("/")
        if folder:
            self.below(folder).replace(last, data)
            return
        self.check(name, FILE)
        temporary = f".{name}.{os.getpid()}"
        if self.kind(temporary) == FILE:  # of a killed process that had this one's number
            self.take_away(temporary)
        try:
            self.write(temporary, data)
            with self.held() as here:
                os.replace(temporary, name, src_dir_fd=here, dst_dir_fd=here)
        except OSError:
            if self.kind(temporary) == FILE:
                self.take_away(temporary)
            raise

    def sweep(self, name: str) -> None:
        """Delete what processes that were killed within ``replace`` left of ``name``."""
        for other in self.names():
            if is_leftover(other, name) and self.kind(other) == FILE:
                self.take_away(other)

    def cut(self, name: str, size: int) -> None:
        """Leave the first ``size`` bytes of a file."""
        number = self.open(name, os.O_WRONLY)
        try:
            os.ftruncate(number, size)
        finally:
            os.close(number)

    def take_away(self, name: str) -> None:
        """Delete a file, a link and never what it leads to, or a folder that is empty."""
        is_folder = self.kind(name) == FOLDER
        with self._parent(name) as (here, last):
            (os.rmdir if is_folder else os.unlink)(last, dir_fd=here)

    def make_folder(self, name: str) -> None:
        """Make a folder that isn't there."""
        with self._parent(name) as (here, last):
            os.mkdir(last, dir_fd=here)

    def rename(self, name: str, target: str) -> None:
        """Give something in it another name in it."""
        with self.held() as here:
            os.rename(name, target, src_dir_fd=here, dst_dir_fd=here)

    def move(self, name: str, folder: RealFolder) -> None:
        """Put something in it into another folder, under the same name."""
        with self.held() as here, folder.held() as there:
            os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)

    def set_aside(self, name: str) -> Path:
        """Give what isn't ours a name of its own, so that there is nothing under ``name``."""
        other = next(n for i in count(1) if not self.kind(n := f"{name}.{i}"))
        self.rename(name, other)
        return self.path / other

    def sync(self) -> None:
        """See the names in it onto the disk."""
        with self.held() as here:
            os.fsync(here)

    def _write(self, name: str, flags: int, data: bytes | memoryview) -> None:
        with os.fdopen(self.open(name, flags), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def is_leftover(name: str, of: str) -> bool:
    """Whether ``name`` is what ``RealFolder.replace`` writes before a file has its name ``of``."""
    return re.fullmatch(rf"\.{re.escape(of)}\.[0-9]+", name) is not None


def read_regular(path: Path, *, at_most: int | None = None) -> bytes:
    """The bytes of a file that a user or a config named, which may be a link to a regular one.

    Args:
        path: Path of the file.
        at_most: How many it may have; None: any number.

    Raises:
        OddFileError: It is a pipe, a device or the like, or larger.
        OSError: It can't be read.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(number, "rb") as file:
        kind = _kind(os.fstat(number).st_mode)
        if kind != FILE:
            raise _odd(kind, path, FILE)
        return _content(file, path, at_most)


def _content(file: BinaryIO, path: Path, at_most: int | None) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if at_most is not None and size > at_most:
        problem = f"it has {size:,} bytes; expected at most {at_most:,}"
        raise OddFileError(errno.EFBIG, problem, str(path))
    return file.read() if at_most is None else file.read(size or at_most)


def _check(name: str, here: int, path: Path, wanted: str) -> None:
    kind = _kind(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode)
    if kind != wanted:
        target = os.readlink(name, dir_fd=here) if kind == LINK else ""
        raise _odd(kind, path, wanted, target)


def _odd(kind: str, path: Path, wanted: str, target: str = "") -> OddFileError:
    if kind == LINK:
        problem = f"it is a link to {target[:SHOWN]!r}; expected the {wanted} itself"
        return OddFileError(errno.ELOOP, problem, str(path))
    number = errno.ENOTDIR if wanted == FOLDER else errno.EISDIR if kind == FOLDER else errno.EINVAL
    return OddFileError(number, f"it is a {kind}; expected a {wanted}", str(path))


def _kind(mode: int) -> str:
    return KINDS.get(stat.S_IFMT(mode), ELSE)
