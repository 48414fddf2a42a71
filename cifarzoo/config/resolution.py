"""Which components a config uses, in which scopes, and with which bindings.

As in gin: ``scope/name.parameter`` holds for ``name`` wherever that scope is active, also
inside narrower ones; the longest scope wins; a reference without a scope keeps the scope
of the component that holds it, one with a scope replaces it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cifarzoo.components.root import ROOT
from cifarzoo.config.limits import MAX_COMPONENTS, MAX_DEPTH
from cifarzoo.config.reader import Binding
from cifarzoo.config.values import Reference

Use = tuple[str, tuple[str, ...]]  # a component's name, and the scope that it is used in


@dataclass
class Resolution:
    """What a config uses.

    Attributes:
        uses: Bindings by parameter of each use of a component.
        holders: Binding that refers to each use; None for ``run``.
        cycles: Bindings through which a component refers to itself.
        excess: Binding that leads to too many components, or too deep; not all were followed then.
    """

    uses: dict[Use, dict[str, Binding]] = field(default_factory=dict)
    holders: dict[Use, Binding | None] = field(default_factory=dict)
    cycles: list[Binding] = field(default_factory=list)
    excess: Binding | None = None

    def scopes(self, name: str) -> list[str]:
        """The scopes that the component called ``name`` is used in."""
        return ["/".join(scope) for used, scope in self.uses if used == name]

    def used(self) -> dict[str, Binding]:
        """The bindings that have an effect, by key."""
        every = [binding for use in self.uses.values() for binding in use.values()]
        return {binding.key: binding for binding in every}


def resolve(bindings: Iterable[Binding]) -> Resolution:
    """Follow the references from ``run``.

    Args:
        bindings: Bindings of components, their macros replaced.
    """
    of_use: dict[Use, list[Binding]] = {}
    for binding in bindings:
        of_use.setdefault((binding.component, _parts(binding.scope)), []).append(binding)
    found = Resolution()

    def follow(use: Use, holder: Binding | None, inside: tuple[Use, ...]) -> None:
        if use in found.uses:
            if use in inside and holder is not None:
                found.cycles.append(holder)
            return
        name, scope = use
        if max(len(inside), len(scope)) > MAX_DEPTH or len(found.uses) > MAX_COMPONENTS:
            found.excess = found.excess or holder
            return
        # From the widest scope to the narrowest, of which the value is kept.
        applying = [b for end in range(len(scope) + 1) for b in of_use.get((name, scope[:end]), ())]
        found.uses[use] = {binding.parameter: binding for binding in applying}
        found.holders[use] = holder
        for binding in found.uses[use].values():
            for reference in references(binding.value):
                follow(use_of(reference, scope), binding, (*inside, use))

    follow((ROOT, ()), None, ())
    if not found.cycles:
        found.excess = found.excess or _doubling(found)
    return found


def _doubling(found: Resolution) -> Binding | None:
    """The setting of ``run`` that makes too many components, each counted once for each use."""
    numbers: dict[Use, int] = {}

    def number(use: Use) -> int:
        if use not in numbers:
            numbers[use] = 1 + sum(held(binding, use) for binding in found.uses[use].values())
        return numbers[use]

    def held(binding: Binding, use: Use) -> int:
        return sum(number(use_of(each, use[1])) for each in references(binding.value))

    root = (ROOT, ())
    settings = found.uses[root].values()
    return next((each for each in settings if held(each, root) > MAX_COMPONENTS), None)


def use_of(reference: Reference, scope: tuple[str, ...]) -> Use:
    """The use that ``reference`` makes of a component, held by one that is used in ``scope``."""
    return reference.name, _parts(reference.scope) or scope


def references(value: Any) -> Iterator[Reference]:
    """Every reference in ``value``."""
    match value:
        case Reference():
            yield value
        case list() | tuple():
            for item in value:
                yield from references(item)
        case dict():
            for item in value.values():
                yield from references(item)


def _parts(scope: str) -> tuple[str, ...]:
    return tuple(scope.split("/")) if scope else ()
