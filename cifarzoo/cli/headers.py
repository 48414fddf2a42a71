"""The comment at the top of a .gin file, which says what the config claims."""

from __future__ import annotations

from pathlib import Path


def title(path: Path) -> str:
    """The first line of the comment that ``path`` starts with; empty without one."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        first = lines.readline()
    return first.lstrip("#").strip() if first.startswith("#") else ""
