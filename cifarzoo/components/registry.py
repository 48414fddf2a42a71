"""One decorator for each kind of component: it names a factory and makes it gin-configurable.

Knows no torch and no component. Registering returns the factory unchanged: called from
Python it behaves as written; only a reference in a .gin file (``@name``) carries values.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import gin

from cifarzoo.components.kinds import KINDS
from cifarzoo.components.presets import Preset, call_site
from cifarzoo.components.root import ROOT
from cifarzoo.errors import PluginError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

SESSION = "__main__"  # the module of what a script or a notebook registers itself
# Purposes of the engine's own random numbers: a component of that name would share them.
PURPOSES = frozenset(
    {
        "batch",
        "branch",
        "components",
        "dropout",
        "evaluation",
        "order",
        "running statistics",
        "subset",
        "torch",
        "weights",
    }
)
RESERVED = frozenset({ROOT, "macro", "singleton"}) | PURPOSES


# How a parameter that can't be passed by name is marked in a signature.
MARKS: dict[object, str] = {
    inspect.Parameter.POSITIONAL_ONLY: "/",
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


def name_problem(name: str) -> str | None:
    """Why no component can have this name, or None."""
    if name in RESERVED:
        return f"the name {name!r} is reserved"
    if not (name.isascii() and name.isidentifier()):
        return f"the name {name!r} cannot be written in a .gin file; use ASCII letters"
    return None


def signature_problem(kind: str, name: str, takes: Sequence[tuple[str, str]]) -> str | None:
    """Why the engine and configs could not use a factory, or None.

    Args:
        kind: Kind of the component.
        name: Name of the component.
        takes: Parameters of the factory, each with its mark (``MARKS``) or nothing.
    """
    if problem := name_problem(name):
        return problem
    for parameter, mark in takes:
        if mark == "**":
            return f"{name} takes **{parameter}, which hides misspelt settings; name its arguments"
        if mark:
            return f"{name} takes {parameter} by position only; expected an argument with a name"
    for needed in KINDS[kind].needed:
        if needed not in dict(takes):
            return f"the {kind} {name} takes no {needed}; the engine gives it to each {kind}"
    return None


@dataclass(frozen=True)
class Component:
    """A registered factory.

    Attributes:
        kind: Name of its kind, of ``KINDS``.
        name: Name of the factory, its ``__name__``, which is that in configs.
        factory: Function or class that was registered, unchanged.
        override: Whether it was registered to take the place of another.
    """

    kind: str
    name: str
    factory: Callable[..., Any]
    override: bool = False

    @property
    def module(self) -> str:
        """Name of the module that defines it."""
        return str(self.factory.__module__)

    @property
    def source(self) -> str:
        """``file:line`` of the definition, or the module where there is no file."""
        plain = inspect.unwrap(self.factory)
        if isinstance(plain, Preset):
            return plain.source
        code = getattr(plain, "__code__", None)
        if code is not None:
            return f"{code.co_filename}:{code.co_firstlineno}"
        try:
            return f"{inspect.getsourcefile(plain)}:{inspect.getsourcelines(plain)[1]}"
        except (OSError, TypeError):
            return self.module


class Decorator:
    """``@register.kind`` or ``@register.kind(override=True)``."""

    def __init__(self, registry: Registry, kind: str) -> None:
        self._registry = registry
        self._kind = kind

    @overload
    def __call__(self, factory: F, /, *, override: bool = False) -> F: ...
    @overload
    def __call__(self, factory: None = None, /, *, override: bool = False) -> Callable[[F], F]: ...
    def __call__(self, factory: Any = None, /, *, override: bool = False) -> Any:
        """Register ``factory`` under its own name and return it unchanged.

        Raises:
            PluginError: The name is taken or reserved, or the engine can't call the factory.
        """

        def register(factory: F) -> F:
            _check_definition(factory, self._kind)
            self._registry.add(Component(self._kind, factory.__name__, factory, override))
            return factory

        return register if factory is None else register(factory)


def _check_definition(factory: Any, kind: str) -> None:
    """Refuse what has no name of its own, such as a ``functools.partial``.

    Raises:
        PluginError: It is no function and no class.
    """
    if not callable(factory) or not isinstance(getattr(factory, "__name__", None), str):
        what = " ".join(repr(factory).split())
        shown = what if len(what) <= 60 else f"{what[:57]}..."
        raise PluginError(
            f"register.{kind} was given {shown} ({type(factory).__name__}); expected a def or a "
            "class, whose name is the component's; settings under a name are a register.preset"
        )


def _refuse_shadowing(component: Component) -> None:
    """Refuse a name of a script that every program has already, imported yet or not.

    Raises:
        PluginError: The zoo or an installed plugin has a component of that name.
    """
    from cifarzoo.components.plugins import provided  # which reads what registers itself here

    theirs = provided().get(component.name)
    if theirs is not None:
        raise PluginError(clash(component.source, component.name, theirs.kind, theirs.source))


class Registry:
    """Name -> component; the attribute of each kind is the decorator of that kind.

    Attributes:
        components: Component that each name stands for now.
        known: Everything that was ever registered, by module and name: a name that was
            overridden can be given back.
    """

    def __init__(self) -> None:
        self.components: dict[str, Component] = {}
        self.known: dict[tuple[str, str], Component] = {}
        self._indexed = False

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Refuse ``@register`` without a kind.

        Raises:
            PluginError: Always.
        """
        raise PluginError(f"expected @register.<kind>, the kind one of {', '.join(KINDS)}")

    def __getattr__(self, kind: str) -> Decorator:
        if kind not in KINDS:
            raise AttributeError(f"no component kind {kind!r}; the kinds are {', '.join(KINDS)}")
        return Decorator(self, kind)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *KINDS]

    def root(self, cls: type[Any]) -> type[Any]:
        """Make the class that a config describes configurable under the name ``run``."""
        gin.external_configurable(cls, ROOT, module="cifarzoo")
        return cls

    def preset(
        self,
        family: Callable[..., T],
        /,
        *,
        defaults: Mapping[str, Any] | None = None,
        num_parameters: int | None = None,
        override: bool = False,
        **bound: Any,
    ) -> Preset[T]:
        """Register ``family`` with some arguments bound, under the name that it is assigned to.

        ``resnet20 = register.preset(resnet, depth=20)``, with a line of documentation as a text
        below it; the index reads both, so that values are literals.

        Args:
            family: Registered component, a preset or not.
            defaults: Other defaults of arguments that can still be set.
            num_parameters: Parameters of the network at 10 classes and its default variant.
            override: Whether it takes the place of another component of its name.
            **bound: Arguments that can't be set any more.

        Raises:
            PluginError: It isn't assigned to a name at the top level of a module, or
                ``family`` isn't registered or has no such parameters.
        """
        site = call_site(sys._getframe(1))  # noqa: SLF001  # as collections.namedtuple does
        kind = next((c.kind for c in self.known.values() if c.factory is family), None)
        if kind is None:
            named = getattr(family, "__name__", repr(family))
            raise PluginError(f"{site}: {named} isn't registered; a preset's family is")
        made = Preset(
            family,
            site=site,
            bound=bound,
            defaults=defaults or {},
            num_parameters=num_parameters,
            injected=KINDS[kind].injected,
        )
        self.add(Component(kind, site.name, made, override))
        return made

    def add(self, component: Component) -> None:
        """Register ``component``; see ``Decorator`` for the errors."""
        taken = inspect.signature(component.factory).parameters
        problem = signature_problem(
            component.kind,
            component.name,
            [(name, MARKS.get(p.kind, "")) for name, p in taken.items()],
        )
        if problem:
            raise PluginError(f"{component.source}: {problem}")
        if component.module == SESSION and not component.override:
            _refuse_shadowing(component)
        old = self.components.get(component.name)
        is_free = old is None or self._indexed or old.module == component.module
        # One that comes after what overrides it, or from the same file under a second name, is
        # known and not what the name stands for.
        is_known = old is not None and (old.override or old.source == component.source)
        if old is not None and not (is_free or component.override or is_known):
            raise PluginError(clash(component.source, component.name, old.kind, old.source))
        self.known[component.module, component.name] = component
        # Of a module whose names were checked before, whoever imports it activates what is used:
        # gin takes long over a component, and a module may have sixty.
        if not self._indexed and (is_free or component.override):
            self.activate(component)

    def forget(self, name: str) -> None:
        """Drop what this session registered as ``name``, so that another name can be tried."""
        component = self.known.pop((SESSION, name), None)
        if component is not None and self.components.get(name) is component:
            del self.components[name]

    def activate(self, component: Component) -> None:
        """Make ``component``, which was registered before, what its name stands for."""
        taken = inspect.signature(component.factory).parameters
        denied = [name for name in KINDS[component.kind].injected if name in taken]
        with gin.config.interactive_mode():  # lets another factory take the name
            gin.external_configurable(
                component.factory, component.name, module=component.kind, denylist=denied or None
            )
        self.components[component.name] = component

    @contextmanager
    def kept(self) -> Iterator[None]:
        """While another run is built beside one: names stand for what they stood for, after it."""
        before = dict(self.components)
        try:
            yield
        finally:
            for name, component in before.items():
                if self.components[name] is not component:
                    self.activate(component)

    @contextmanager
    def indexed(self) -> Iterator[None]:
        """While modules are imported whose names were checked before, from their source.

        A clash is then one with a component that another config of this process uses, and
        no error: whoever imports activates what its config means.
        """
        before, self._indexed = self._indexed, True
        try:
            yield
        finally:
            self._indexed = before


def clash(source: str, name: str, old_kind: str, old_source: str) -> str:
    """What to say when the component at ``source`` takes a name that another one has."""
    return (
        f"{source}: {name!r} is already the {old_kind} of {old_source}; "
        "pick another name or register it with override=True"
    )


register = Registry()
