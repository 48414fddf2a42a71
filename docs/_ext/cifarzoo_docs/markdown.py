"""Markdown made of docstrings and names."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CODE = re.compile(r"(``.+?``|`.+?`)", re.DOTALL)
_MARKUP = re.compile(r"(?<!^)\*|[_<>\[\]{}\\]", re.MULTILINE)


def page(title: str, *parts: str) -> str:
    """A page of ``parts``, apart from each other."""
    return "\n\n".join([f"# {title}", *filter(None, parts)]) + "\n"


def prose(text: str) -> str:
    """``text`` of a docstring; what Markdown would take for markup is escaped outside of code."""
    parts = _CODE.split(text)
    for place in range(0, len(parts), 2):
        parts[place] = _MARKUP.sub(lambda found: f"\\{found[0]}", parts[place])
    return "".join(parts)


def code(text: str) -> str:
    """``text`` as code within a line."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def block(language: str, text: str) -> str:
    """``text`` as code of its own."""
    return f"```{language}\n{text}\n```"


def definitions(items: Iterable[tuple[str, str]]) -> str:
    """Terms, each with what is said of it."""
    return "\n\n".join(f"{term}\n: {text}" for term, text in items)


def table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table with a heading."""
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
