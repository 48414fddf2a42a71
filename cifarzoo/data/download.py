"""Fetch a published archive: over https, resumable, checked before it gets its name.

What has arrived so far waits in ``<name>.part``; the next attempt asks the server for the
rest. The file gets its name only with the published size and sha256. What was there before and
turns out to be something else gets another name, and isn't deleted.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from cifarzoo.data.archive import Archive, read_archive
from cifarzoo.data.damage import DamageError
from cifarzoo.errors import DataError
from cifarzoo.files.real_folder import OddFileError, RealFolder

PAUSES = (1.0, 2.0, 4.0)  # seconds before each further attempt, counted from the last progress
TIMEOUT = 30.0  # seconds without a byte

_BLOCK = 1 << 18
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Listener(Protocol):
    """Receives how a download goes on and cannot change it."""

    def arrived(self, done: int, total: int) -> None:
        """So many bytes are there."""

    def retrying(self, problem: str, seconds: float) -> None:
        """The connection broke; the next attempt starts in so many seconds."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """An archive that is there, whole.

    Attributes:
        path: Path of the archive.
        is_new: Whether it was downloaded now.
        set_aside: Paths that other files have now which were there under its name, or that of a
            download.
    """

    path: Path
    is_new: bool
    set_aside: tuple[Path, ...] = ()


class _BrokenError(Exception):
    """A connection that could not be made or broke: worth another attempt."""


class _StaleError(_BrokenError):
    """The server has no such rest: what is there belongs to something else."""


class _RefusedError(Exception):
    """An answer that another attempt won't change."""


def fetch(
    archive: Archive,
    folder: Path,
    listener: Listener,
    *,
    pauses: Sequence[float] = PAUSES,
    timeout: float = TIMEOUT,
) -> Fetched:
    """Download an archive into ``folder`` unless it is there already.

    A file of the right name but with another size or digest gets another name once the new one
    has arrived and been checked.

    Args:
        archive: Archive to fetch.
        folder: Folder for the archive; made if it isn't there.
        listener: Listener that receives the progress.
        pauses: Seconds to wait before each further attempt; any progress starts them anew.
        timeout: Seconds without a byte after which an attempt is given up.

    Raises:
        DataError: The server cannot be reached, offers something else, or what arrived has
            another digest; or the folder cannot be written.
    """
    files = RealFolder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _is_whole(archive, files):
            return Fetched(path=folder / archive.file_name, is_new=False)
        part = _Part(files, f"{archive.file_name}.part")
        if part.size != archive.size:
            _download(archive, part, listener, pauses, timeout)
        _check(archive, part)
        part.finish(archive.file_name)
    except OddFileError as error:
        raise DataError(f"{error}; take it away, or name another --data") from error
    except OSError as error:
        raise DataError(f"cannot write to {folder}: {error.strerror}") from error
    return Fetched(path=folder / archive.file_name, is_new=True, set_aside=tuple(part.set_aside))


class _Part:
    """What has arrived so far; of an earlier attempt's nothing is deleted.

    Args:
        files: Folder that it is in.
        name: Name of the file.
    """

    def __init__(self, files: RealFolder, name: str) -> None:
        self._files = files
        self._name = name
        self._is_new = not files.kind(name)
        self.folder = files.path
        self.set_aside: list[Path] = []

    @property
    def size(self) -> int:
        """Number of bytes; 0: there are none."""
        return self._files.size(self._name)

    def opened(self) -> BufferedReader:
        """The file, to read it."""
        return os.fdopen(self._files.open(self._name), "rb")

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
            self.set_aside.append(self._files.set_aside(self._name))
        self._is_new = True

    def finish(self, name: str) -> None:
        """Give it its name, and what has that now another one."""
        with self.opened() as file:
            os.fsync(file.fileno())
        if self._files.kind(name):
            self.set_aside.append(self._files.set_aside(name))
        self._files.rename(self._name, name)


def _is_whole(archive: Archive, files: RealFolder) -> bool:
    try:
        read_archive(archive, files)
    except (DamageError, FileNotFoundError):
        return False
    return True


def _check(archive: Archive, part: _Part) -> None:
    with part.opened() as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != archive.sha256:
        part.clear()
        now = f"is {part.set_aside[-1]} now" if part.set_aside else "was removed"
        raise DataError(
            f"what arrived from {archive.url} has the sha256 {digest}; "
            f"expected {archive.sha256}; it {now}: try again"
        )


def _download(
    archive: Archive, part: _Part, listener: Listener, pauses: Sequence[float], timeout: float
) -> None:
    left = list(pauses)
    while True:
        before = part.size
        try:
            _attempt(archive, part, listener, timeout)
        except _BrokenError as error:
            if isinstance(error, _StaleError):
                part.clear()
            if part.size > before:
                left = list(pauses)
            if not left:
                raise DataError(_by_hand(archive, part.folder, error)) from error
            pause = left.pop(0)
            listener.retrying(str(error), pause)
            time.sleep(pause)
        except _RefusedError as error:
            raise DataError(_by_hand(archive, part.folder, error)) from error
        else:
            return


def _attempt(archive: Archive, part: _Part, listener: Listener, timeout: float) -> None:
    """Append to ``part`` until it has all bytes."""
    start = part.size
    if start > archive.size:
        start = 0  # a leftover of something else
    with _open(archive, start, timeout) as response:
        resumes = response.status == http.client.PARTIAL_CONTENT
        done = start if resumes else 0
        _check_offer(archive, response, done)
        if not resumes:
            part.clear()
        with part.continued() as file:
            listener.arrived(done, archive.size)
            while block := _receive(response):
                done += len(block)
                if done > archive.size:
                    raise _RefusedError(f"it sends more than {archive.size:,} bytes")
                file.write(block)
                listener.arrived(done, archive.size)
    if done < archive.size:
        raise _BrokenError(f"the connection ended after {done:,} of {archive.size:,} bytes")


def _receive(response: Any) -> bytes:
    try:
        block: bytes = response.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(f"the connection broke: {error}") from error
    return block


def _check_offer(archive: Archive, response: Any, start: int) -> None:
    """A login page or another version shows in the length, before anything is written."""
    length = response.headers.get("Content-Length")
    if length is not None and length != str(archive.size - start):
        kind = response.headers.get("Content-Type", "of unknown type")
        raise _RefusedError(f"it offers {length} bytes ({kind}), expected {archive.size - start}")


def _open(archive: Archive, start: int, timeout: float) -> Any:
    _refuse_insecure(archive.url)
    headers = {"User-Agent": "cifarzoo"} | ({"Range": f"bytes={start}-"} if start else {})
    request = urllib.request.Request(archive.url, headers=headers)  # noqa: S310 - checked above
    handlers: list[urllib.request.BaseHandler] = [_SecureRedirects()]
    if _is_loopback(archive.url):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        return urllib.request.build_opener(*handlers).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise _kind_of(error.code)(f"it answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _BrokenError(getattr(reason, "strerror", None) or str(reason)) from error


def _kind_of(status: int) -> type[_BrokenError | _RefusedError]:
    if status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        return _StaleError
    return _BrokenError if status >= 500 or status in (408, 429) else _RefusedError


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where the first request might have gone, too."""

    def redirect_request(self, *args: Any) -> urllib.request.Request | None:
        _, response, *_, url = args
        try:
            _refuse_insecure(url)
        except DataError:
            response.close()
            raise
        return super().redirect_request(*args)


def _refuse_insecure(url: str) -> None:
    if urlsplit(url).scheme != "https" and not _is_loopback(url):
        raise DataError(f"{url} is not https; refusing to fetch it")


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


def _by_hand(archive: Archive, folder: Path, problem: Exception) -> str:
    return (
        f"cannot fetch {archive.url}: {problem}; "
        f"fetch it by hand ({archive.size:,} bytes) and put it into {folder}"
    )
