"""What a word that is no value was meant to be: ``adamw`` is ``@adamw``, ``no`` is False."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice, product
from typing import Any

from cifarzoo.components.index import Entry
from cifarzoo.components.spelling import closest
from cifarzoo.config.values import Bare, Reference, written

WORDS = {"none": None, "null": None, "true": True, "false": False}
SWITCHES = {"yes": True, "on": True, "no": False, "off": False}
NUMBERS = {"inf": math.inf, "infinity": math.inf}
MOST_WORDS = 10  # in a value for which the words' meaning is looked for
MOST_TRIALS = 200  # of ways to read a value with many such words


def bare_words(value: Any) -> list[str]:
    """The words in ``value`` that are none, in order."""
    match value:
        case Bare(word=word):
            return [word]
        case list() | tuple():
            return [word for item in value for word in bare_words(item)]
        case dict():
            return [word for item in value.values() for word in bare_words(item)]
    return []


def meant(value: Any, entries: Mapping[str, Entry], fits: Callable[[Any], bool]) -> str | None:
    """``value`` as it was meant, in gin's words; None: no way to read it fits.

    Args:
        value: Value that holds such words.
        entries: Entries of all components by name.
        fits: Whether a value is one of the parameter's.
    """
    words = bare_words(value)
    if len(words) > MOST_WORDS:
        return None
    ways = product(*(list(_ways(word, entries)) for word in words))
    for way in islice(ways, MOST_TRIALS):
        read = _replaced(value, iter(way))
        if fits(read):
            return written(short(read))
    return None


def constant(word: str) -> str | None:
    """The constant that a word is in another spelling, whatever it is for."""
    return repr(WORDS[word.lower()]) if word.lower() in WORDS else None


def _ways(word: str, entries: Mapping[str, Entry]) -> Iterator[Any]:
    """What a word may stand for, the likeliest first."""
    lower = word.lower()
    for table in (WORDS, SWITCHES, NUMBERS):
        if lower in table:
            yield table[lower]
    yield from (Reference("", f"{e.kind}.{name}") for name, e in entries.items() if name == word)
    yield word
    if (name := closest(word, entries)) and name != word:
        yield Reference("", f"{entries[name].kind}.{name}")
    yield lower


def _replaced(value: Any, readings: Iterator[Any]) -> Any:
    match value:
        case Bare():
            return next(readings)
        case list() | tuple():
            return type(value)(_replaced(item, readings) for item in value)
        case dict():
            return {key: _replaced(item, readings) for key, item in value.items()}
    return value


def short(value: Any) -> Any:
    """``value`` with references by their names alone."""
    match value:
        case Reference():
            return Reference(value.scope, value.name)
        case list() | tuple():
            return type(value)(map(short, value))
        case dict():
            return {key: short(item) for key, item in value.items()}
    return value
