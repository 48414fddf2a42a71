"""Values of .gin files: what Python's literals lack, and how values are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reference:
    """``@scope/selector``: a component, to be made by the engine.

    Attributes:
        scope: Scope in which its parameters may be set apart from other uses, or nothing.
        selector: Name of the component, as ``name`` or ``kind.name``.
        called: Whether it was written with ``()``, which configs may not.
    """

    scope: str
    selector: str
    called: bool = False

    @property
    def name(self) -> str:
        """The component's name, without its kind."""
        return self.selector.rpartition(".")[2]

    def __repr__(self) -> str:
        return f"@{self.scope}{'/' * bool(self.scope)}{self.selector}{'()' * self.called}"


@dataclass(frozen=True)
class Macro:
    """``%name``: the value that a line ``name = value`` gives."""

    name: str

    def __repr__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True)
class Bare:
    """A word that is no value: a text without quotes, or a component without an @."""

    word: str

    def __repr__(self) -> str:
        return self.word


@dataclass(frozen=True)
class Expression:
    """Source text of a value that is no literal, such as the default ``math.pi``."""

    source: str

    def __repr__(self) -> str:
        return self.source


def written(value: Any) -> str:
    """``value`` as gin reads it."""
    match value:
        case float() if math.isinf(value):
            return "1e999" if value > 0 else "-1e999"  # gin has no word for it
        case int() if value.bit_length() > 10_000:
            return hex(value)  # Python writes no decimals of that length
        case list():
            return f"[{', '.join(map(written, value))}]"
        case tuple():
            return f"({', '.join(map(written, value))}{',' * (len(value) == 1)})"
        case dict():
            return f"{{{', '.join(f'{written(k)}: {written(v)}' for k, v in value.items())}}}"
    return repr(value)


def is_literal(value: Any) -> bool:
    """Whether gin can read what ``written`` makes of ``value``."""
    match value:
        case list() | tuple():
            return all(map(is_literal, value))
        case dict():
            return all(map(is_literal, [*value, *value.values()]))
    return value is None or isinstance(value, bool | int | float | str | Reference)


def abbreviated(value: Any) -> str:
    """``value`` as an error names it: on one line that stays readable."""
    text = written(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
