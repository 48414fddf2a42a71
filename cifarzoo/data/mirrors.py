"""Who serves a published dataset: its author, and others, who may have another version of it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cifarzoo.errors import UsageError

Version: TypeAlias = Literal["binary", "python", "parquet"]


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """A server that has a published dataset.

    Attributes:
        name: Name of the mirror for commands.
        version: Version of the dataset that it has.
        urls: Addresses of the files, those of training images first; none: the archive's own.
    """

    name: str
    version: Version
    urls: tuple[str, ...] = ()


def named(name: str, mirrors: Sequence[Mirror]) -> Mirror:
    """The mirror of that name.

    Raises:
        UsageError: There is none.
    """
    names = [mirror.name for mirror in mirrors]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
        raise UsageError(f"no mirror is named {name!r}; {hint}")
    return mirrors[names.index(name)]
