"""The resolved uses of components to the arguments of ``Run``: plain factories with settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from cifarzoo.components.index import Entry
from cifarzoo.components.making import Making
from cifarzoo.components.root import ROOT
from cifarzoo.config.fitting import Fit, fit
from cifarzoo.config.hints import known_fit, own_fit
from cifarzoo.config.reader import Binding
from cifarzoo.config.resolution import Use, use_of
from cifarzoo.config.values import Reference
from cifarzoo.errors import ConfigError

T = TypeVar("T")


class Configured(Making[T]):
    """A factory with settings of a config, of which some become what the factory asks for.

    Attributes:
        conversions: Types of those that do, by name.
    """

    conversions: Mapping[str, Any] = MappingProxyType({})

    def __call__(self, /, *args: Any, **keywords: Any) -> T:
        """What the factory makes of its settings and these arguments."""
        for name, hint in self.conversions.items():
            if name not in keywords:
                keywords[name] = fit(hint).converted(self.keywords[name])
        return super().__call__(*args, **keywords)


def frozen(
    uses: Mapping[Use, Mapping[str, Binding]],
    factories: Mapping[str, Callable[..., Any]],
    entries: Mapping[str, Entry],
) -> dict[str, Any]:
    """The root's parameters, each ``@name`` as the factory of that name with its settings.

    Args:
        uses: Bindings by parameter of each use of a component; none refers to itself.
        factories: Factories of the components that are used, by name.
        entries: Entries of these.

    Raises:
        ConfigError: A value isn't of a type that only the component's own module knows.
    """

    def arguments(use: Use) -> dict[str, Any]:
        _, scope = use
        return {name: freeze(binding.value, scope) for name, binding in uses[use].items()}

    def freeze(value: Any, scope: tuple[str, ...]) -> Any:
        match value:
            case Reference():
                use = use_of(value, scope)
                shown = {name: binding.value for name, binding in uses[use].items()}
                with_settings = Configured(factories[value.name], **arguments(use))
                return configured(with_settings, entries[value.name], shown)
            case list() | tuple():
                return type(value)(freeze(item, scope) for item in value)
            case dict():
                return {key: freeze(item, scope) for key, item in value.items()}
        return value

    return arguments((ROOT, ()))


def checked_at_run(
    uses: Mapping[Use, Mapping[str, Binding]], entries: Mapping[str, Entry]
) -> dict[str, str]:
    """What is set of types that only a component's own module knows: annotations by name."""
    return {
        binding.key: parameter.annotation
        for (name, _), bindings in uses.items()
        if name != ROOT
        for parameter in entries[name].parameters
        if (binding := bindings.get(parameter.name)) and parameter.annotation
        if known_fit(parameter.annotation) is None
    }


def configured(made: Configured[T], entry: Entry, shown: Mapping[str, Any]) -> Configured[T]:
    """``made``, which then turns its settings into what the factory asks for.

    Args:
        made: Factory with settings.
        entry: Entry of the component.
        shown: The settings as words name them.

    Raises:
        ConfigError: A setting isn't of its type, where only the component's own module knows it.
    """
    conversions: dict[str, Any] = {}
    for parameter in entry.parameters:
        if parameter.name not in made.keywords or parameter.annotation is None:
            continue
        asked = known_fit(parameter.annotation)
        if asked is None:
            asked = _own_fit(made, entry.name, parameter.name)
            value = made.keywords[parameter.name]
            if why := asked.misfit(value, shown=shown[parameter.name]):
                raise _refused(entry.name, parameter.name, str(why))
        if asked.converts:
            conversions[parameter.name] = asked.hint
    made.conversions = conversions
    return made


def _own_fit(made: Configured[Any], component: str, parameter: str) -> Fit:
    try:
        return own_fit(made.func, parameter)
    except TypeError as error:
        raise _refused(component, parameter, f"cannot be set in a config: {error}") from error


def _refused(component: str, parameter: str, problem: str) -> ConfigError:
    error = ConfigError(problem, parameter=parameter)
    error.component = component
    return error
