"""One decorator for each kind of component: it names a factory and makes it gin-configurable.

Knows no torch and no component. Registering returns the factory unchanged: called from
Python it behaves as written; only a reference in a .gin file (``@name``) carries values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import gin

from cifarzoo.errors import PluginError

F = TypeVar("F", bound=Callable[..., Any])

# kind -> the arguments that the engine passes, which are hidden from and denied to configs.
KINDS: dict[str, tuple[str, ...]] = {
    "architecture": ("num_classes", "residual"),
    "regularizer": (),
    "augmentation": ("dataset",),
    "schedule": (),
    "optimizer": ("params",),
    "dataset": ("folder",),
}
ROOT = "run"  # what a config describes: the dataclass Run, under this gin name
RESERVED = frozenset({ROOT, "macro", "singleton"})


@dataclass(frozen=True)
class Component:
    """A registered factory.

    Attributes:
        kind: One of ``KINDS``.
        name: Its ``__name__``, which is its gin name.
        factory: What was registered, unchanged.
    """

    kind: str
    name: str
    factory: Callable[..., Any]

    @property
    def source(self) -> str:
        """``file:line`` of the definition."""
        code = inspect.unwrap(self.factory)
        return f"{inspect.getsourcefile(code)}:{inspect.getsourcelines(code)[1]}"


class Decorator:
    """``@register.kind`` or ``@register.kind(override=True)``."""

    def __init__(self, registry: Registry, kind: str) -> None:
        self._registry = registry
        self._kind = kind

    @overload
    def __call__(self, factory: F, /) -> F: ...
    @overload
    def __call__(self, *, override: bool = False) -> Callable[[F], F]: ...
    def __call__(self, factory: Any = None, /, *, override: bool = False) -> Any:
        """Register ``factory`` under its own name and return it unchanged.

        Raises:
            PluginError: The name is taken or reserved, or there is nothing to override.
        """

        def register(factory: F) -> F:
            component = Component(self._kind, factory.__name__, factory)
            self._registry.add(component, override=override)
            return factory

        return register if factory is None else register(factory)


class Registry:
    """Name -> component; the attribute of each kind is the decorator of that kind."""

    architecture: Decorator
    regularizer: Decorator
    augmentation: Decorator
    schedule: Decorator
    optimizer: Decorator
    dataset: Decorator

    def __init__(self) -> None:
        self.components: dict[str, Component] = {}

    def __getattr__(self, kind: str) -> Decorator:
        if kind not in KINDS:
            raise AttributeError(f"no component kind {kind!r}; the kinds are {', '.join(KINDS)}")
        return Decorator(self, kind)

    def root(self, cls: type) -> type:
        """Make the class that a config describes configurable under the name ``run``."""
        gin.external_configurable(cls, ROOT, module="cifarzoo")
        return cls

    def add(self, component: Component, *, override: bool = False) -> None:
        """Register ``component``; see ``Decorator`` for the errors."""
        old = self.components.get(component.name)
        if component.name in RESERVED:
            raise PluginError(f"{component.source}: the name {component.name!r} is reserved")
        if old and old.source == component.source:
            return  # the same file under a second module name
        if old and not override:
            raise PluginError(
                f"{component.source}: {component.name!r} is already the {old.kind} of "
                f"{old.source}; pick another name or register it with override=True"
            )
        if override and not old:
            raise PluginError(f"{component.source}: nothing named {component.name!r} to override")
        taken = inspect.signature(component.factory).parameters
        denied = [name for name in KINDS[component.kind] if name in taken]
        with gin.config.interactive_mode():  # lets an override take the name
            gin.external_configurable(
                component.factory, component.name, module=component.kind, denylist=denied or None
            )
        self.components[component.name] = component


register = Registry()
