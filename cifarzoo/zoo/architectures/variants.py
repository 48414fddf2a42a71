"""A family's published variants, as data: a table from which one is taken, with changes.

Each family has a dataclass of what differs between its variants, which layers are part of;
no family asks which variant it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Layers, LayersFactory

V = TypeVar("V")


def choose(variants: Mapping[str, V], variant: str, **changes: Any) -> V:
    """The variant of that name, with what a user changes of it.

    Args:
        variants: Dataclasses by name.
        variant: One of the names.
        **changes: Values of fields; None: as the variant has it.
    """
    changed = {name: value for name, value in changes.items() if value is not None}
    chosen: V = replace(variants[variant], **changed)  # type: ignore[type-var]  # is a dataclass
    return chosen


def make_layers(layers: LayersFactory) -> Layers:
    """What ``layers`` makes; it may also be made already, such as ``create('paper_layers')``.

    Raises:
        ConfigError: It refuses a parameter, or makes something else.
    """
    if isinstance(layers, Layers) and not isinstance(layers, type):
        return layers
    if not callable(layers):
        expected = "a component of kind layers, or what it makes"
        raise ConfigError(f"is {layers!r}; expected {expected}", parameter="layers")
    name = getattr(getattr(layers, "func", layers), "__name__", None)
    try:
        made = layers()
        if not isinstance(made, Layers):
            expected = "expected an object with conv, norm and dense"
            raise ConfigError(f"gives {made!r} ({type(made).__name__}); {expected}")
    except ConfigError as error:
        error.component = error.component or name
        raise
    return made
