"""Paths as users give them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cifarzoo.errors import UsageError


def expanded(path: str | os.PathLike[str]) -> Path:
    """``path`` with ``~`` and ``~user`` replaced by that home folder, as a shell does.

    A shell leaves them in quotes, behind ``=`` and in variables, and Python everywhere. A file
    whose own name begins with ``~`` and is no user's is taken as it is.

    Raises:
        UsageError: There is neither such a user nor such a file.
    """
    given = Path(path)
    try:
        return given.expanduser()
    except RuntimeError:
        with suppress(OSError):  # a name that no file can have
            if given.exists():
                return given
        user = given.parts[0]
        raise UsageError(
            f"{str(given)!r}: there is no home folder {user}; expected ~/…, or ./{user} for a file "
            "of that name"
        ) from None
