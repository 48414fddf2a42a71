"""Types of parameters as the code that declares them has them, once it was imported.

The text of an annotation tells those that every program knows. A class of a plugin's own, an
``Enum`` or a dataclass, is found in its module alone.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any

from cifarzoo.components.kinds import FACTORIES
from cifarzoo.components.presets import Preset
from cifarzoo.config.fitting import Fit, fit
from cifarzoo.config.types import to_type


def known_fit(annotation: str | None) -> Fit | None:
    """What the text of an annotation asks for, components of any kind taken for each other.

    Returns:
        None: it is no text, or only the component's own module knows the type.
    """
    if annotation is None:
        return None
    try:
        return fit(to_type(annotation, dict.fromkeys(FACTORIES, Any)))
    except (LookupError, TypeError, ValueError, SyntaxError):
        return None


def own_fit(factory: Callable[..., Any], parameter: str) -> Fit:
    """What a parameter asks for, by the annotation in the factory's own module.

    Raises:
        TypeError: The module doesn't know the type, or no value can be compared with it.
    """
    annotation, names = _declared(factory, parameter)
    try:
        holder = SimpleNamespace(__annotations__={parameter: annotation})
        hints = typing.get_type_hints(holder, globalns=names, include_extras=True)
        return fit(hints[parameter])
    except (NameError, AttributeError, SyntaxError) as error:
        raise TypeError(f"{annotation} means nothing in its module: {error}") from error


def _declared(factory: Callable[..., Any], parameter: str) -> tuple[Any, dict[str, Any]]:
    """The annotation of a parameter, and the names that it may use."""
    plain: Any = inspect.unwrap(factory)
    while isinstance(plain, Preset):
        plain = inspect.unwrap(plain.family)
    if not isinstance(plain, type):
        return plain.__annotations__.get(parameter, Any), plain.__globals__
    if is_dataclass(plain):
        for cls in plain.__mro__:
            if parameter in vars(cls).get("__annotations__", {}):
                return cls.__annotations__[parameter], vars(sys.modules[cls.__module__])
    made_by: Any = next(vars(cls)["__init__"] for cls in plain.__mro__ if "__init__" in vars(cls))
    return made_by.__annotations__.get(parameter, Any), made_by.__globals__
