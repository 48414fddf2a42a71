"""What a training prints that Python code started: plain lines, which notebooks show well."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO, TypeAlias

from cifarzoo.engine.events import (
    BranchedEvent,
    CompiledEvent,
    EpochEvent,
    Event,
    FinishedEvent,
    Listener,
    ResultEvent,
    ResumedEvent,
    StartEvent,
    StatisticsEvent,
    WarningEvent,
    ignore_event,
    to_json,
)
from cifarzoo.errors import UsageError
from cifarzoo.escaping import visible_line

# Makes the listener of a run, where the run is: a launched process gets it and not a listener.
ListenerFactory: TypeAlias = Callable[[], AbstractContextManager[Listener]]
# What ``cifarzoo.train`` takes: whether lines are printed, or what is called with each event.
Progress: TypeAlias = bool | Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Calling:
    """Makes a listener of a function, for which nothing has to be opened or closed.

    Attributes:
        listener: The function.
    """

    listener: Listener

    def __call__(self) -> AbstractContextManager[Listener]:
        """The function, as a context manager gives it."""
        return nullcontext(self.listener)


def listener_factory(progress: Progress, *, is_launched: bool) -> ListenerFactory:
    """What makes the listener that ``progress`` means.

    Args:
        progress: True: lines; False: nothing; or a function of each event, as a dict.
        is_launched: Whether other processes train, which import that function.

    Raises:
        UsageError: It is something else, or a function that other processes can't import.
    """
    if isinstance(progress, bool):
        return Calling(print_event if progress else ignore_event)
    if not callable(progress):
        raise UsageError(f"progress is {progress!r}; expected True, False or a function")
    name = getattr(progress, "__qualname__", "<")
    if is_launched and ("<" in name or getattr(progress, "__module__", "") == "__main__"):
        raise UsageError(
            "progress is a function that the processes of nproc can't import; expected True, "
            "False, or a function of a module"
        )
    return Calling(partial(_give_dict, progress))


def print_event(event: Event) -> None:
    """Print a line about what people want to know of a training."""
    line = _line(event)
    if line:
        out = _stream()
        out.write(f"{visible_line(line)}\n")
        out.flush()


def _give_dict(progress: Callable[[dict[str, Any]], object], event: Event) -> None:
    progress(to_json(event))


def _stream() -> TextIO:
    """stderr, since stdout is the program's; in a notebook that would look like an error."""
    return sys.stdout if "ipykernel" in sys.modules else sys.stderr


def _line(event: Event) -> str:
    line = ""
    match event:
        case StartEvent(network=network, data=data, length=length, hardware=hardware):
            line = (
                f"{event.name}: {network.num_parameters:,} parameters, {data.dataset}, "
                f"{length.steps:,} steps on {hardware.device}"
            )
        case FinishedEvent():
            line = f"{event.run} was finished before; nothing is trained again"
        case ResumedEvent():
            line = f"{event.run}: going on from step {event.step:,} of {event.steps:,}"
        case CompiledEvent(seconds=seconds):
            line = f"compiled in {seconds:.0f} s"
        case StatisticsEvent():
            line = (
                f"running statistics of the averaged weights from {event.images:,} training images "
                f"in {event.seconds:.1f} s"
            )
        case BranchedEvent():
            line = event.message
        case WarningEvent():
            line = f"warning: {event.message}"
        case EpochEvent(test=test):
            line = (
                f"epoch {event.epoch}/{event.epochs}  train loss {event.train_loss:.4f}  "
                f"test loss {test.loss:.4f}  test error {100 * test.error:.2f} %  "
                f"{event.speed.seconds:.0f} s"
            )
        case ResultEvent(test=test):
            line = f"test error {100 * test.error:.2f} %; everything is in {event.run}"
    return line
