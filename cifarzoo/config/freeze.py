"""The resolved uses of components to the arguments of ``Run``: plain factories with settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cifarzoo.components.making import Making
from cifarzoo.components.registry import ROOT
from cifarzoo.config.reader import Binding
from cifarzoo.config.resolution import Use, use_of
from cifarzoo.config.values import Reference


def frozen(
    uses: Mapping[Use, Mapping[str, Binding]], factories: Mapping[str, Callable[..., Any]]
) -> dict[str, Any]:
    """The root's parameters, each ``@name`` as the factory of that name with its settings.

    Args:
        uses: Bindings by parameter of each use of a component; none refers to itself.
        factories: Factories of the components that are used, by name.
    """

    def arguments(use: Use) -> dict[str, Any]:
        _, scope = use
        return {name: freeze(binding.value, scope) for name, binding in uses[use].items()}

    def freeze(value: Any, scope: tuple[str, ...]) -> Any:
        match value:
            case Reference():
                use = use_of(value, scope)
                return Making(factories[value.name], **arguments(use))
            case list() | tuple():
                return type(value)(freeze(item, scope) for item in value)
            case dict():
                return {key: freeze(item, scope) for key, item in value.items()}
        return value

    return arguments((ROOT, ()))
