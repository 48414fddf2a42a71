"""Text of others, as a terminal, a log or a page may have it.

A name in a file that somebody sent can hold control sequences. A terminal obeys them: it clears
what was said before, gets another title, shows one thing for another. Controls of the direction
of writing, and letters that nobody sees, do the last too. Here all of these become text.
"""

from __future__ import annotations

import unicodedata

# Control characters (C0, DEL, C1), formats (direction, joiners, tags), halves of surrogates, ends
# of lines and paragraphs, and what no font knows.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})
# Letters and marks that are drawn as nothing. The selectors of emoji's colours are left.
EMPTY = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | frozenset(
    map(chr, (*range(0xFE00, 0xFE0E), *range(0xE0100, 0xE01F0)))
)


class _Visible(dict[int, str]):
    """What each character is shown as, by its number."""

    def __missing__(self, number: int) -> str:
        letter = chr(number)
        is_seen = unicodedata.category(letter) not in UNSEEN and letter not in EMPTY
        self[number] = letter if is_seen else letter.encode("unicode_escape").decode()
        return self[number]


_LINE = _Visible()
_TEXT = _Visible({ord(kept): kept for kept in "\n\t"})


def visible(text: str) -> str:
    r"""``text`` with all that can't be seen written as Python writes it: ``\x1b``, ``\u202e``.

    Ends of lines (LF) and tabs are kept.
    """
    return text if text.isascii() and text.isprintable() else text.translate(_TEXT)


def visible_line(text: str) -> str:
    """The same on one line: a name with an end of a line in it can't begin a message of its own."""
    return text if text.isascii() and text.isprintable() else text.translate(_LINE)
