"""Values that Python code gives for settings, as the values of .gin files are."""

from __future__ import annotations

import math
import operator
from contextlib import suppress
from pathlib import PurePath
from typing import Any, SupportsIndex

from cifarzoo.config.grammar import Assignment, statements
from cifarzoo.config.values import Reference
from cifarzoo.errors import ConfigError


def from_python(value: Any, where: str = "") -> Any:
    """``value`` as literals and references, which a config's text can hold.

    A text that starts with ``@`` is a reference, also inside lists and dicts. Numbers of
    NumPy that are Python's own (``numpy.float64``) or whole are taken as those, and paths
    as texts; whatever else a text could not give back exactly is refused.

    Args:
        value: Value of numbers, texts, None, and lists, tuples and dicts of them.
        where: Place of the value inside of a larger one, such as ``[2]``.

    Raises:
        ConfigError: It holds something else; the problem begins with the place.
    """
    match value:
        case list() | tuple():
            items = (from_python(item, f"{where}[{i}]") for i, item in enumerate(value))
            return list(items) if isinstance(value, list) else tuple(items)
        case dict():
            return {_key(k, where): from_python(v, f"{where}[{k!r}]") for k, v in value.items()}
        case str():
            text = str.__str__(value)  # of an enumeration's member its text, and not its name
            return _reference(text, where) if text.startswith("@") else text
        case PurePath():
            return str(value)
    return _number_or_none(value, where)


def _number_or_none(value: Any, where: str) -> Any:
    match value:
        case None | bool() | bytes():
            return value
        case float() if math.isnan(value):
            raise ConfigError(f"{where} is nan; expected a number")
        case float():
            return float(value)
        case SupportsIndex():
            with suppress(TypeError):  # an array of several numbers
                return operator.index(value)
    raise ConfigError(f"{where} is {_described(value)}; expected {_expected(value)}")


def _reference(text: str, where: str) -> Reference:
    match list(statements(f"value = {text}\n")):
        case [Assignment(value=Reference() as reference)] if repr(reference) == text:
            return reference
    raise ConfigError(f"{where} is {text!r}; expected @ and a component's name, as '@mixup'")


def _key(key: Any, where: str) -> Any:
    plain = key if isinstance(key, str) else from_python(key, f"{where}, a key,")
    if isinstance(plain, str | int | float | bytes):
        return plain
    raise ConfigError(f"{where} has the key {key!r}; a key of a dict is a text or a number")


def _described(value: Any) -> str:
    name = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else f'{text[:57]}...'} ({name})"


def _expected(value: Any) -> str:
    plain = "a number, a text, None, or a list, tuple or dict of them"
    if callable(value) and hasattr(value, "__name__"):
        return f"{plain}; a component is named, as '@{value.__name__}'"
    if hasattr(value, "item"):
        return f"{plain}; .item() of a single number is one"
    return plain
