"""The settings of a call against what the factory's annotations declare of them.

Configs are checked before anything is imported. A factory that is called from Python checks
its own arguments by this, in the same words, so that a range is written once: in the signature.
"""

from __future__ import annotations

import types
from collections import abc
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from cifarzoo.components.ranges import range_of
from cifarzoo.errors import ConfigError

UNIONS = (Union, types.UnionType)


def check_settings(factory: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """Refuse settings outside the ranges and choices that ``factory`` declares.

    A factory begins with it: ``check_settings(cosine, locals())``.

    Args:
        factory: Function or class whose annotations count.
        settings: Values by name; those that nothing is declared of are left alone.

    Raises:
        ConfigError: A value is outside; of several, the first in the signature.
    """
    for name, hint in _hints(factory).items():
        if name in settings and (problem := _problem(hint, settings[name])):
            raise ConfigError(problem, parameter=name)


def in_order(parameter: str, ends: Sequence[float]) -> tuple[float, float]:
    """The two ends of a range.

    Args:
        parameter: Name of the parameter that has them.
        ends: Its value.

    Raises:
        ConfigError: They aren't two, or the lower one isn't first.
    """
    if len(ends) != 2 or ends[0] > ends[1]:
        raise ConfigError(
            f"is {list(ends)}; expected two numbers, the lower one first", parameter=parameter
        )
    return ends[0], ends[1]


@cache
def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(factory, include_extras=True)
    return {name: hint for name, hint in hints.items() if name != "return"}


def _problem(hint: Any, value: Any) -> str | None:
    members = get_args(hint) if get_origin(hint) in UNIONS else (hint,)
    lists = [each for each in members if get_origin(each) is abc.Sequence]
    if lists and isinstance(value, list | tuple):
        problems = (_problem(get_args(lists[0])[0], each) for each in value)
        found = next(((i, each) for i, each in enumerate(problems) if each), None)
        return f"[{found[0]}]{' ' * found[1].startswith('is')}{found[1]}" if found else None
    expected = _expected(hint, value)
    return f"is {value!r}; expected {expected}" if expected else None


def _expected(hint: Any, value: Any) -> str | None:
    """What is expected instead of a single ``value``; None: it is fine, or nothing is declared."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        limits = range_of(args[1:])
        if limits is None or not isinstance(value, int | float):
            return _expected(args[0], value)
        return None if value in limits else limits.expected
    if origin is Literal:
        return None if value in args else _one_of(args)
    if origin in UNIONS:
        members = [each for each in args if each is not types.NoneType]
        found = [_expected(each, value) for each in members]
        if None in found or (value is None and len(members) < len(args)):
            return None
        return " or ".join([*filter(None, found), *["None"] * (len(members) < len(args))])
    return None


def _one_of(choices: abc.Iterable[Any]) -> str:
    """``'a', 'b' or 'c'``."""
    *others, last = map(repr, choices)
    return f"{', '.join(others)} or {last}" if others else last
