"""What a misspelt name was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near(word: str, words: Iterable[str], say: str = "did you mean {}?") -> str:
    """``; did you mean …?`` with the one of ``words`` closest to ``word``, or nothing."""
    close = difflib.get_close_matches(word, list(words), 1)
    return "; " + say.format(close[0]) if close else ""
