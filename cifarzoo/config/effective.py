"""What a config has for each parameter, whether it sets it or leaves it to the component.

Two configs with equal effective values are one run, however they are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cifarzoo.components.index import Entry, Parameter, root
from cifarzoo.components.python_source import literal
from cifarzoo.components.root import BOOKKEEPING, ROOT
from cifarzoo.config import Config
from cifarzoo.config.grammar import Assignment, statements
from cifarzoo.config.reader import Binding
from cifarzoo.config.resolution import Use
from cifarzoo.config.values import Expression, is_literal, written
from cifarzoo.run_folders import resolved


@dataclass(frozen=True)
class EffectiveValue:
    """What one config has for a parameter.

    Attributes:
        value: Value of literals and references; of a default that is none, the ``Expression``.
        is_default: Whether the config leaves it to the component.
        origin: Place where it is set, ``file:line``; or in words, whose default it is.
        is_fixed: Whether a preset binds it, so that no config can set it.
    """

    value: Any
    is_default: bool
    origin: str
    is_fixed: bool = False

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
    return value_of(effective_values(config), name)


def value_of(values: Mapping[str, EffectiveValue], name: str) -> EffectiveValue | None:
    """The value called ``name``, or what its component has where it is used without a scope."""
    return values.get(name) or values.get(name.rpartition("/")[2])


def effective_values(config: Config) -> dict[str, EffectiveValue]:
    """All that ``config`` has, by ``scope/kind.component.parameter``; ``run``'s own first."""
    known = {entry.name: entry for entry in (root(), *config.components())}
    found = {
        name: value
        for use, bindings in config.uses.items()
        for name, value in _of_use(use, known[use[0]], bindings)
    }
    return {name: found[name] for name in sorted(found, key=run_first)}


def run_first(name: str) -> tuple[bool, str]:
    """A key to sort names by: ``run``'s own come first."""
    return not _is_run(name), name


def resolved_text(config: Config) -> str:
    """Every effective value as gin, each with where it is from.

    What a config can't set, since a preset binds it or gin can't write it, stands in comments.
    """
    lines = [resolved.HEADER, f"{resolved.NAME}{resolved.one_line(config.name)}"]
    for name, value in effective_values(config).items():
        is_comment = value.is_fixed or not is_literal(value.value)
        setting = resolved.Setting(name, value.source, value.origin, is_comment=is_comment)
        lines.append(setting.line())
    return "\n".join(lines) + "\n"


def digest(config: Config) -> str:
    """The SHA-256 (hex) of every effective value: configs that mean the same have the same."""
    values = effective_values(config).items()
    text = "".join(f"{name} = {canonical(value.value)}\n" for name, value in values)
    return hashlib.sha256(text.encode()).hexdigest()


def read_values(text: str) -> dict[str, Any]:
    """The values of a text of ``resolved_text`` or of ``Config.text``, by name."""
    values: dict[str, Any] = {}
    for statement in statements(text):
        if isinstance(statement, Assignment):
            scope = f"{statement.scope}{'/' * bool(statement.scope)}"
            values[f"{scope}{statement.selector}.{statement.parameter}"] = statement.value
    comments = (setting for setting in resolved.settings(text) if setting.is_comment)
    return values | {setting.name: _literal(setting.source) for setting in comments}


def decides_numbers(name: str) -> bool:
    """Whether a run with another value of ``name`` is another run.

    Args:
        name: Name ``run.parameter``, or of a component's parameter.
    """
    return not (_is_run(name) and name.removeprefix(f"{ROOT}.") in BOOKKEEPING)


def is_same(first: Any, second: Any) -> bool:
    """Whether two values mean one thing: a list and a tuple of the same, 1 and 1.0, do."""
    return canonical(first) == canonical(second)


def canonical(value: Any) -> str:
    """A value as text that is the same for all that mean one thing."""
    match value:
        case float() if value.is_integer():
            return written(int(value))
        case list() | tuple():
            return f"[{', '.join(map(canonical, value))}]"
        case dict():
            return f"{{{', '.join(f'{canonical(k)}: {canonical(v)}' for k, v in value.items())}}}"
    return written(value)


def _of_use(
    use: Use, entry: Entry, bindings: Mapping[str, Binding]
) -> Iterator[tuple[str, EffectiveValue]]:
    selector = ROOT if entry.kind == ROOT else f"{entry.kind}.{entry.name}"
    prefix = "/".join([*use[1], selector])
    fixed = entry.preset.bound if entry.preset else ()
    for parameter in entry.parameters:
        if parameter.name in bindings:
            binding = bindings[parameter.name]
            origin = f"{binding.location}{binding.macros}"
            yield f"{prefix}.{parameter.name}", EffectiveValue(binding.value, False, origin)
        elif parameter.default is not None:
            yield f"{prefix}.{parameter.name}", _default(parameter, f"default of {entry.name}")
    for parameter in fixed:
        value = _default(parameter, f"fixed by {entry.name}", is_fixed=True)
        yield f"{prefix}.{parameter.name}", value


def _default(parameter: Parameter, origin: str, *, is_fixed: bool = False) -> EffectiveValue:
    value = _literal(parameter.default or "None")
    return EffectiveValue(value, is_default=True, origin=origin, is_fixed=is_fixed)


def _is_run(name: str) -> bool:
    return name.startswith(f"{ROOT}.")


def _literal(source: str) -> Any:
    try:
        return literal(source)
    except ValueError:  # a name or a call
        return Expression(source)
