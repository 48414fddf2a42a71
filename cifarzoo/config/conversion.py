"""Types as pydantic checks them for us, with what a config's values become.

A config writes texts, numbers, lists, tuples and dicts. Of these an ``Enum`` takes its member by
name or by value, a ``Path`` a text, a set a list, and a dataclass a dict of its fields.
"""

from __future__ import annotations

import enum
import types
import typing
from collections import abc
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any

from cifarzoo.components.ranges import range_of
from cifarzoo.components.spelling import near
from cifarzoo.errors import ConfigError

MEMBER = "\0member"  # begins the label of a union's member, which no key of a value does
SETS = {set: set, frozenset: frozenset, abc.Set: frozenset, abc.MutableSet: set}
LISTS = (abc.Iterable, abc.Collection, abc.Container, abc.MutableSequence)
HOLDERS = (list, tuple, dict, type(None), abc.Sequence, abc.Mapping, abc.MutableMapping)


def is_converted(hint: Any) -> bool:
    """Whether values of ``hint``, or some of them, are no values that a config can write."""
    if _is_class(hint, (enum.Enum, PurePath)) or hint in SETS or _is_data(hint):
        return True
    if isinstance(hint, typing.NewType):
        return is_converted(hint.__supertype__)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return False
    return origin in SETS or any(map(is_converted, typing.get_args(hint)))


def _is_class(hint: Any, base: Any) -> bool:
    return isinstance(hint, type) and typing.get_origin(hint) is None and issubclass(hint, base)


def _is_data(hint: Any) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def checkable(hint: Any) -> Any:
    """``hint`` as pydantic can check it, with what converts values."""
    if isinstance(hint, typing.NewType):
        return checkable(hint.__supertype__)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    return _plain(hint) if origin is None else _with_arguments(hint, origin, args)


def _plain(hint: Any) -> Any:
    """``hint`` that takes no arguments, or was given none."""
    if hint in SETS:
        return _set(hint, Any)
    if hint in LISTS:
        return abc.Sequence[Any]
    if _is_class(hint, (enum.Enum, PurePath)):
        return _converting(_path if _is_class(hint, PurePath) else _member, hint)
    return _data(hint) if _is_data(hint) else hint


def _with_arguments(hint: Any, origin: Any, args: tuple[Any, ...]) -> Any:
    if origin is Annotated:
        return _bounded(*args)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(_labelled(i, arg) for i, arg in enumerate(args))]  # noqa: UP007
    if origin in SETS:
        return _set(origin, args[0])
    if origin in LISTS:
        return abc.Sequence[checkable(args[0])]  # type: ignore[misc]  # made at run time
    return origin[tuple(map(checkable, args))] if origin in HOLDERS else hint


def _labelled(index: int, member: Any) -> Any:
    from pydantic import Tag

    return Annotated[checkable(member), Tag(f"{MEMBER}{index}")]


def _bounded(plain: Any, *bounds: Any) -> Any:
    """A type with bounds: a range is ours to word, the others are pydantic's."""
    from pydantic import AfterValidator
    from pydantic_core import PydanticCustomError

    limits = range_of(bounds)
    inner = checkable(plain)
    if limits is None:
        return Annotated[(inner, *bounds)] if bounds else inner

    def check(value: Any) -> Any:
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None and one not in limits:
                raise PydanticCustomError("range", "{words}", {"words": limits.expected})
        return value

    return Annotated[inner, AfterValidator(check)]


def _converting(convert: Callable[[Any, Any], Any], hint: Any) -> Any:
    """``hint``, whose values ``convert`` makes of it and a value; it gives None where it can't."""
    from pydantic import PlainValidator
    from pydantic_core import PydanticCustomError

    def check(value: Any) -> Any:
        made = convert(hint, value)
        if made is None:
            raise PydanticCustomError("member", "{words}", {"words": _wanted(hint)})
        return made

    return Annotated[Any, PlainValidator(check)]


def _wanted(hint: Any) -> str:
    if issubclass(hint, PurePath):
        return "a path as a text in quotes"
    texts = [member.value for member in hint]
    names = texts if all(isinstance(text, str) for text in texts) else list(hint.__members__)
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}" if others else last


def _member(cls: type[enum.Enum], value: Any) -> enum.Enum | None:
    if isinstance(value, cls):
        return value
    if isinstance(value, str) and value in cls.__members__:
        return cls[value]
    same = (
        m for m in cls if m.value == value and isinstance(value, bool) == isinstance(m.value, bool)
    )
    return next(same, None)


def _path(cls: type[PurePath], value: Any) -> PurePath | None:
    if not isinstance(value, str | PurePath):
        return None
    made = cls(value)
    try:
        return made.expanduser() if isinstance(made, Path) else made
    except RuntimeError:  # no such user
        return None


def _set(made: Any, item: Any) -> Any:
    from pydantic import AfterValidator, BeforeValidator
    from pydantic_core import PydanticCustomError

    def listed(value: Any) -> Any:
        return list(value) if isinstance(value, tuple | set | frozenset) else value

    def collected(value: list[Any]) -> Any:
        try:
            return SETS[made](value)
        except TypeError as error:
            words = {"words": f"cannot be a set: {error}"}
            raise PydanticCustomError("refused", "{words}", words) from error

    return Annotated[
        list[checkable(item)],  # type: ignore[misc]  # made at run time
        BeforeValidator(listed),
        AfterValidator(collected),
    ]


def _data(cls: Any) -> Any:
    """A dataclass, from a dict of its fields."""
    from pydantic import Field, WrapValidator, create_model
    from pydantic_core import PydanticCustomError

    hints = typing.get_type_hints(cls, include_extras=True)
    taken = {field.name: field for field in fields(cls) if field.init}
    # Under other names: a field of a model must not be called as a method of models is.
    asked: dict[str, Any] = {
        f"field_{i}": (checkable(hints[name]), Field(_default(field), alias=name))
        for i, (name, field) in enumerate(taken.items())
    }

    def make(value: Any, check: Callable[[Any], Any]) -> Any:
        if isinstance(value, cls):
            return value
        for key in value if isinstance(value, dict) else ():
            if key not in taken:
                has = near(str(key), taken) or f"; it has {', '.join(taken)}"
                problem = f"has {key!r}, which is no field of {cls.__name__}{has}"
                raise PydanticCustomError("refused", "{words}", {"words": problem})
        checked = check(value)
        given = {name: getattr(checked, field) for field, name in zip(asked, taken, strict=True)}
        try:
            return cls(**{name: item for name, item in given.items() if name in value})
        except (ConfigError, TypeError, ValueError) as error:
            problem = f"is refused by {cls.__name__}: {error}"
            raise PydanticCustomError("refused", "{words}", {"words": problem}) from error

    return Annotated[create_model(cls.__name__, **asked), WrapValidator(make)]


def _default(field: Any) -> Any:
    """What a field of a model has for one of a dataclass: nothing where that must be given."""
    return ... if field.default is MISSING and field.default_factory is MISSING else None
