"""Factories with settings: each making gets copies of its own, so that none changes another's."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
CONTAINERS = (list, tuple, dict, set)


class Making(partial[T]):
    """A ``functools.partial`` whose calls share no list, dict or set.

    That holds for the arguments that it keeps and for the defaults of the factory: one that
    takes something off a list it was given changes no later making, and no record of the settings.
    """

    def __call__(self, /, *args: Any, **keywords: Any) -> T:
        """What the factory makes of its settings and these arguments."""
        by_place = (*copied(self.args), *args)
        by_name = {**copied(self.keywords), **keywords}
        return self.func(*by_place, **own_defaults(self.func, by_place, by_name), **by_name)


def copied(value: Any) -> Any:
    """``value`` with copies of the lists, dicts and sets in it; whatever else it holds is kept."""
    match value:
        case list() | tuple() if type(value) in (list, tuple):
            return type(value)(map(copied, value))
        case dict() if type(value) is dict:
            return {key: copied(item) for key, item in value.items()}
        case set() if type(value) is set:
            return set(value)
    return value


def own_defaults(factory: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """Copies of those defaults of ``factory`` that hold others, where it is given no value."""
    takes = inspect.signature(factory).parameters
    by_place = set(list(takes)[: len(args)])
    return {
        name: copied(parameter.default)
        for name, parameter in takes.items()
        if isinstance(parameter.default, CONTAINERS) and name not in {*by_place, *keywords}
    }
