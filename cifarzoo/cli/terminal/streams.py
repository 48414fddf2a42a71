"""stdin, stdout and stderr where they are closed, full, or left by whoever read them."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Any


def make_writable() -> None:
    """Open the streams that are closed, and let them take any text."""
    for name in ("stdin", "stdout", "stderr"):  # None where the shell closed it (``>&-``)
        if getattr(sys, name) is None:  # nor may a file of a run get its number
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: PTH123, SIM115  # stays open
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # a character that the encoding lacks is no reason to fail
            reconfigure(errors="backslashreplace")


def failure(attempt: str = "") -> OSError | None:
    """Why stdout doesn't take what it holds and ``attempt``, or None: it does."""
    try:
        sys.stdout.write(attempt)
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def settle() -> None:
    """Drop what can't be written: at its end Python would fail once more, with exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            drop(stream)


def is_reader_gone(error: OSError) -> bool:
    """Whether ``error`` says that the reader of a pipe has gone, as ``head`` does."""
    return error.errno == errno.EPIPE


def drop(stream: Any) -> None:
    """Send what ``stream`` still holds, and all that comes, nowhere; Python would fail at it."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()
