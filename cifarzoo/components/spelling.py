"""What a misspelt name was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_LETTERS = 100  # of a name that may be a slip of the fingers
# Letters of a name times those of all that it is compared with, which takes as long. Names of the
# zoo are at 30,000, and with those of timm's networks at 1,000,000.
MAX_WORK = 2_000_000


def near(word: str, words: Iterable[str], say: str = "did you mean {}?") -> str:
    """``; did you mean …?`` with the one of ``words`` closest to ``word``, or nothing."""
    found = closest(word, words)
    return "; " + say.format(found) if found else ""


def closest(word: str, words: Iterable[str]) -> str | None:
    """The one of ``words`` closest to ``word``, small and capital letters alike; None: none is.

    Of far too long a name, or among far too many, none is looked for.
    """
    if len(word) > MAX_LETTERS:
        return None
    known = {each.lower(): each for each in words if len(each) <= MAX_LETTERS}
    known |= {each: each for each in known.values()}  # of names that differ in case, its own
    if len(word) * sum(map(len, known)) > MAX_WORK:
        return None
    for tried in (word, word.lower()):
        if close := difflib.get_close_matches(tried, known, 1):
            return known[close[0]]
    return None
