"""In which settings two configs differ, defaults counted; nothing of them is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from cifarzoo.components.index import root
from cifarzoo.components.registry import ROOT
from cifarzoo.config import Binding, Config
from cifarzoo.config.values import written


@dataclass(frozen=True)
class Setting:
    """What one config has for a parameter.

    Attributes:
        source: The value as gin reads it.
        is_default: Whether the config leaves it to the component.
    """

    source: str
    is_default: bool


@dataclass(frozen=True)
class Difference:
    """A parameter that two configs have different values for.

    Attributes:
        name: ``kind.component.parameter``, or ``run.parameter``.
        first: What the first has; None: it doesn't use the component.
        second: What the second has.
    """

    name: str
    first: Setting | None
    second: Setting | None


def differences(first: Config, second: Config) -> Iterator[Difference]:
    """The parameters that ``first`` and ``second`` have different values for, run's own first.

    A default that one of them writes out is no difference.
    """
    names = {**first.bindings, **second.bindings}
    for name, bound in sorted(names.items(), key=lambda item: (item[1].component != ROOT, item[0])):
        here, there = _setting(first, name, bound), _setting(second, name, bound)
        if (here and here.source) != (there and there.source):
            yield Difference(name, here, there)


def _setting(config: Config, name: str, bound: Binding) -> Setting | None:
    """What ``config`` has for the parameter that ``bound`` sets in it or in the other one."""
    if name in config.bindings:
        return Setting(config.bindings[name].source, is_default=False)
    used = {entry.name: entry for entry in (root(), *config.components())}
    if bound.component not in used:
        return None
    for parameter in used[bound.component].parameters:
        if parameter.name == bound.parameter and parameter.default is not None:
            return Setting(_as_gin_writes(parameter.default), is_default=True)
    return None


def _as_gin_writes(default: str) -> str:
    """A default's source text as gin would write the same value, so that both can be compared."""
    try:
        return written(ast.literal_eval(default))
    except ValueError:  # a name or a call, which no config can write
        return default
