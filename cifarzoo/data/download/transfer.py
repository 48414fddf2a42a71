"""One file from one server: over https, resumable, no longer than it may be.

Whether what arrived is what was wanted is for the caller to find out.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cifarzoo.data.download.listener import Listener
from cifarzoo.data.download.parts import Part

_BLOCK = 1 << 18
_MOST_DIGITS = 15  # of a number of bytes that a server may say
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file on a server.

    Attributes:
        url: Address of the file.
        size: Published number of bytes; None: whatever the server says.
        at_most: Number of bytes that it may have.
    """

    url: str
    size: int | None
    at_most: int


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How much is put up with from a server.

    Attributes:
        pauses: Seconds to wait before each further attempt; any progress starts them anew.
        timeout: Seconds without a byte after which an attempt is given up.
        least_rate: Bytes a second below which the server is too slow; 0: it never is.
        window: Seconds over which the rate is taken.
    """

    pauses: tuple[float, ...]
    timeout: float
    least_rate: float = 0.0
    window: float = 20.0


class UnavailableError(Exception):
    """A server that doesn't have the file, or not now, or not fast enough: another one may."""


class _BrokenError(Exception):
    """A connection that could not be made or broke: worth another attempt."""


class _StaleError(_BrokenError):
    """The server has no such rest: what is there belongs to something else."""


def transfer(remote: Remote, part: Part, listener: Listener, patience: Patience) -> None:
    """Append to ``part`` until it has all bytes of a file.

    Args:
        remote: File to fetch.
        part: What has arrived of it.
        listener: Listener that receives the progress.
        patience: What is put up with.

    Raises:
        UnavailableError: The server cannot be reached, offers something else, or is too slow.
        OSError: The part cannot be written.
    """
    left = list(patience.pauses)
    pace = _Pace(patience)
    while True:
        before = part.size
        try:
            _attempt(remote, part, listener, patience.timeout, pace)
        except _BrokenError as error:
            if isinstance(error, _StaleError):
                part.clear()
            if part.size > before:
                left = list(patience.pauses)
            if not left:
                raise UnavailableError(str(error)) from error
            pause = left.pop(0)
            listener.retrying(str(error), pause)
            time.sleep(pause)
        else:
            return


class _Pace:
    """Tells when a server is too slow, breaks and pauses counted.

    Args:
        patience: The least rate, and the time over which it is taken.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since: float | None = None
        self._arrived = 0

    def add(self, num_bytes: int) -> None:
        """Count what has arrived since the first call, which starts the clock.

        Raises:
            UnavailableError: It was too little for too long.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
            return
        self._arrived += num_bytes
        seconds = now - self._since
        if seconds < self._patience.window:
            return
        rate, least = self._arrived / seconds, self._patience.least_rate
        if rate < least:
            raise UnavailableError(
                f"it sent {rate / 1e3:.1f} kB/s for {seconds:.0f} s, "
                f"expected at least {least / 1e3:.0f}"
            )
        self._since, self._arrived = now, 0


def _attempt(remote: Remote, part: Part, listener: Listener, timeout: float, pace: _Pace) -> None:
    start = part.size
    if start > remote.at_most:
        start = 0  # a leftover of something else
    with _open(remote.url, start, timeout) as response:
        resumes = response.status == http.client.PARTIAL_CONTENT
        done = start if resumes else 0
        total = _offered(remote, response, done)
        if not resumes:
            part.clear()
        with part.continued() as file:
            listener.arrived(done, total)
            while block := _receive(response):
                done += len(block)
                if done > total:
                    raise UnavailableError(f"it sends more than {total:,} bytes")
                file.write(block)
                listener.arrived(done, total)
                if done < total:
                    pace.add(len(block))
    if done < total:
        raise _BrokenError(f"the connection ended after {done:,} of {total:,} bytes")


def _receive(response: Any) -> bytes:
    try:
        block: bytes = response.read1(_BLOCK)  # read would wait for all of a block
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(f"the connection broke: {error}") from error
    return block


def _offered(remote: Remote, response: Any, start: int) -> int:
    """The number of bytes of the whole file, before anything is written.

    Raises:
        UnavailableError: It is a login page, another version, or too much, as the length and the
            type tell.
    """
    length = response.headers.get("Content-Length")
    kind = response.headers.get("Content-Type", "of unknown type")
    if remote.size is not None:
        expected = remote.size - start
        if length is not None and length != str(expected):
            raise UnavailableError(f"it offers {length} bytes ({kind}), expected {expected}")
        return remote.size
    if kind.startswith("text/"):
        raise UnavailableError(f"it offers a page ({kind}), expected a file")
    if length is None or not length.isdecimal() or len(length) > _MOST_DIGITS:
        raise UnavailableError("it doesn't say how many bytes the file has")
    total = start + int(length)
    if total > remote.at_most:
        raise UnavailableError(f"it offers {total:,} bytes, expected at most {remote.at_most:,}")
    return total


def _open(url: str, start: int, timeout: float) -> Any:
    _refuse_insecure(url)
    headers = {"User-Agent": "cifarzoo"} | ({"Range": f"bytes={start}-"} if start else {})
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - checked above
    handlers: list[urllib.request.BaseHandler] = [_SecureRedirects()]
    if _is_loopback(url):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        return urllib.request.build_opener(*handlers).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise _kind_of(error.code)(f"it answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _BrokenError(getattr(reason, "strerror", None) or str(reason)) from error


def _kind_of(status: int) -> type[_BrokenError | UnavailableError]:
    if status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        return _StaleError
    return _BrokenError if status >= 500 or status in (408, 429) else UnavailableError


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where the first request might have gone, too."""

    def redirect_request(self, *args: Any) -> urllib.request.Request | None:
        _, response, *_, url = args
        try:
            _refuse_insecure(url)
        except UnavailableError:
            response.close()
            raise
        return super().redirect_request(*args)


def _refuse_insecure(url: str) -> None:
    if urlsplit(url).scheme != "https" and not _is_loopback(url):
        raise UnavailableError(f"it leads to {url}, which is not https")


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK
