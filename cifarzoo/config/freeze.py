"""A checked config's text to the arguments of ``Run``: plain factories, no trace of gin."""

from __future__ import annotations

from functools import partial
from typing import Any

import gin

from cifarzoo.components.registry import ROOT


def frozen(text: str) -> dict[str, Any]:
    """The root's parameters, each ``@name`` as a partial of the factory of that name.

    gin's bindings are global to the process: whatever else was bound there is cleared.

    Args:
        text: Of a checked config, without macros; its components are registered.
    """
    gin.clear_config()
    try:
        gin.parse_config(text)
        with gin.config_scope(None):
            bindings = gin.get_bindings(f"cifarzoo.{ROOT}", resolve_references=False)
            return {name: _freeze(value) for name, value in bindings.items()}
    finally:
        gin.clear_config()


def _freeze(value: Any) -> Any:
    match value:
        case gin.config.ConfigurableReference():
            with gin.config_scope(value.scopes or gin.current_scope()):
                selector = value.configurable.selector
                bindings = gin.get_bindings(selector, resolve_references=False)
                given = {name: _freeze(bound) for name, bound in bindings.items()}
            return partial(value.configurable.wrapped, **given)
        case list() | tuple():
            return type(value)(_freeze(item) for item in value)
        case dict():
            return {key: _freeze(item) for key, item in value.items()}
    return value
