"""What a config has for a parameter, whether it sets it or leaves it to the component."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from cifarzoo.components.index import root
from cifarzoo.config import Config
from cifarzoo.config.values import Expression, written


@dataclass(frozen=True)
class EffectiveValue:
    """What one config has for a parameter.

    Attributes:
        value: Value of literals and references; of a default that is none, the ``Expression``.
        is_default: Whether the config leaves it to the component.
    """

    value: Any
    is_default: bool

    @property
    def source(self) -> str:
        """The value as gin reads it; of a default that no config can write, its source."""
        return written(self.value)


def effective(config: Config, name: str) -> EffectiveValue | None:
    """What ``config`` has for a parameter.

    Args:
        config: A checked config.
        name: Name ``kind.component.parameter`` or ``run.parameter``, after its scope where
            there is one.

    Returns:
        The value; None: the run doesn't use the component, or lacks a value for it.
    """
    if name in config.bindings:
        return EffectiveValue(config.bindings[name].value, is_default=False)
    *_, component, parameter = name.rpartition("/")[2].split(".")
    used = {entry.name: entry for entry in (root(), *config.components())}
    known = used[component].parameters if component in used else ()
    for each in known:
        if each.name == parameter and each.default is not None:
            return EffectiveValue(_value(each.default), is_default=True)
    return None


def _value(source: str) -> Any:
    try:
        return ast.literal_eval(source)
    except ValueError:  # a name or a call
        return Expression(source)
