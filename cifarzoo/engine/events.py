"""What training tells: listeners hear of it and can change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

Event: TypeAlias = dict[str, Any]
Listener: TypeAlias = Callable[[Event], None]


def ignore_event(_event: Event) -> None:
    """The listener of every rank but the first."""


def emit_to_all(listeners: Sequence[Listener]) -> Listener:
    """One listener that passes events on to all of ``listeners``.

    One that cannot write, to a full disk or a pipe that nobody reads, is no reason to stop: it
    is asked again, and the others are told once.
    """
    failed: list[Listener] = []

    def emit(event: Event) -> None:
        for listener in listeners:
            try:
                listener(event)
            except OSError as error:
                if listener not in failed:
                    failed.append(listener)
                    emit({"event": "warning", "message": f"progress is lost: {error.strerror}"})

    return emit
