"""The comment at the top of a .gin file, which says what the config claims."""

from __future__ import annotations

from pathlib import Path

MAX_LETTERS = 1_000  # of a line: a file without line ends isn't read whole


def title(path: Path) -> str:
    """The first line of the comment that ``path`` starts with; empty without one."""
    if not path.is_file():  # a pipe would wait for whoever writes to it
        return ""
    with path.open(encoding="utf-8", errors="replace") as lines:
        first = lines.readline(MAX_LETTERS)
    return first.lstrip("#").strip() if first.startswith("#") else ""
