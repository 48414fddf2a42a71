"""What a misspelt name was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near(word: str, words: Iterable[str], say: str = "did you mean {}?") -> str:
    """``; did you mean …?`` with the one of ``words`` closest to ``word``, or nothing."""
    found = closest(word, words)
    return "; " + say.format(found) if found else ""


def closest(word: str, words: Iterable[str]) -> str | None:
    """The one of ``words`` closest to ``word``, small and capital letters alike; None: none is."""
    known = {each.lower(): each for each in words}
    known |= {each: each for each in known.values()}  # of names that differ in case, its own
    for tried in (word, word.lower()):
        if close := difflib.get_close_matches(tried, known, 1):
            return known[close[0]]
    return None
