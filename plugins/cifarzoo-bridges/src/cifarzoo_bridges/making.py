"""How a bridge makes a network, and what it says where it can't."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from cifarzoo.errors import ConfigError


def check_known(name: str, known: Iterable[str], library: str) -> None:
    """Refuse a network that ``library`` doesn't have.

    Raises:
        ConfigError: It has none of that name.
    """
    names = list(known)
    if name not in names:
        close = get_close_matches(name, names, 3)
        meant = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ConfigError(f"is {name!r}, which {library} doesn't have{meant}", parameter="name")


def make(
    build: Callable[..., nn.Module], library: str, settings: Mapping[str, Any] | None, **given: Any
) -> nn.Module:
    """What ``build`` makes with the settings.

    Args:
        build: Function of the library.
        library: Name of the library.
        settings: Arguments that a user gives.
        **given: Arguments that cifarzoo gives.

    Raises:
        ConfigError: An argument is given twice, or the library refuses one.
    """
    chosen = dict(settings or {})
    for name in given.keys() & chosen.keys():
        raise ConfigError(f"[{name!r}] is given by cifarzoo", parameter="settings")
    try:
        return build(**given, **chosen)
    except (TypeError, ValueError, AssertionError, KeyError, RuntimeError) as error:
        raise ConfigError(f"is refused by {library}: {error}", parameter="settings") from error
