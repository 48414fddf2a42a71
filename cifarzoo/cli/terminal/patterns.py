"""Many names of tensors in few words: names that differ in their numbers alone become one."""

from __future__ import annotations

import re
from collections.abc import Iterable

MOST = 12  # patterns that are listed


def starred(names: Iterable[str], others: Iterable[str]) -> dict[str, int]:
    """Names with a star for each number, and how many names each of them stands for.

    Args:
        names: Names to abbreviate.
        others: Names of the tensors that are not meant. Where a star would mean one of them too,
            names stay as they are; so does one that stands alone.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_star(name), []).append(name)
    unclear = {_star(name) for name in others}
    found: dict[str, int] = {}
    for pattern, members in groups.items():
        if len(members) == 1 or pattern in unclear:
            found |= dict.fromkeys(members, 1)
        else:
            found[pattern] = len(members)
    return found


def listed(names: Iterable[str], others: Iterable[str]) -> str:
    """``stem.bias, blocks.*.conv*.bias (24)``; arguments as for ``starred``."""
    found = starred(names, others)
    words = [f"{name} ({number})" if number > 1 else name for name, number in found.items()]
    rest = [f"and {len(words) - MOST} more, see --json"] if len(words) > MOST else []
    return ", ".join(words[:MOST] + rest)


def _star(name: str) -> str:
    return re.sub(r"\d+", "*", name)
