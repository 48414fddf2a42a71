"""What training tells: listeners hear of it and can change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

Event: TypeAlias = dict[str, Any]
Listener: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """The listener of every rank but the first."""


def tell_all(listeners: Sequence[Listener]) -> Listener:
    """One listener that passes events on to all of ``listeners``."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell
