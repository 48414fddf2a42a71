"""Markdown made of docstrings and names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cifarzoo.escaping import visible, visible_line

# Between one backtick or two: three at the head of a line would begin a directive.
_CODE = re.compile(r"(?<!`)(``(?!`)(?:[^`]|`(?!`))+``(?!`)|`[^`]+`(?!`))")
# A star that begins a line is a list's; all else that Markdown would take for markup.
_MARKUP = re.compile(r"(?<!^)\*|[_<>\[\]{}\\&|`~$]|^(?:#+(?= |$)|[-=+]+$|:)", re.MULTILINE)
_TICKS = re.compile(r"`+")


def page(title: str, *parts: str) -> str:
    """A page of ``parts``, apart from each other."""
    return "\n\n".join([f"# {title}", *filter(None, parts)]) + "\n"


def prose(text: str) -> str:
    """``text`` of a docstring; what Markdown would take for markup is escaped outside of code."""
    parts = _CODE.split(visible(text))
    for place in range(0, len(parts), 2):
        parts[place] = _MARKUP.sub(lambda found: f"\\{found[0]}", parts[place])
    for place in range(1, len(parts), 2):  # a new paragraph would end the code
        parts[place] = " ".join(parts[place].split())
    return "".join(parts)


def code(text: str) -> str:
    """``text`` as code within a line."""
    fence = "`" * (_longest_ticks(text) + 1)
    gap = " " * ("`" in text)
    return f"{fence}{gap}{visible_line(text)}{gap}{fence}"


def block(language: str, text: str) -> str:
    """``text`` as code of its own."""
    fence = "`" * max(3, _longest_ticks(text) + 1)
    return f"{fence}{language}\n{visible(text)}\n{fence}"


def _longest_ticks(text: str) -> int:
    """How many backticks stand together in ``text``: one more is a fence that it can't close."""
    return max(map(len, _TICKS.findall(text)), default=0)


def definitions(items: Iterable[tuple[str, str]]) -> str:
    """Terms, each with what is said of it."""
    return "\n\n".join(f"{term}\n: {text}" for term, text in items)


def table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table with a heading."""
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
