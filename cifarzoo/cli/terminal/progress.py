"""What a training says while it runs, to a terminal, a log or a script.

A listener is called with each event of the engine and cannot change anything. People read
percentages; scripts read fractions.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import Protocol, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text
from cifarzoo.cli.terminal.units import count, duration, percent, plural, test_error
from cifarzoo.engine.distributed.environment import is_launched_by_us
from cifarzoo.engine.events import (
    BranchedEvent,
    CompiledEvent,
    EpochEvent,
    Event,
    FinishedEvent,
    ResultEvent,
    ResumedEvent,
    StartEvent,
    StatisticsEvent,
    StepEvent,
    StoppedEvent,
    WarningEvent,
    to_json,
)
from cifarzoo.run_folders.strict_json import strict_json

LEAST_WIDTHS = {"test error": 8, "lr": 8, "time": 5}  # of columns whose later cells may be longer
IN_JSON = (
    *(StartEvent, ResumedEvent, BranchedEvent, StatisticsEvent),
    *(EpochEvent, ResultEvent, StoppedEvent),
)


class Listener(Protocol):
    """Receives events; a context manager, so that the terminal is left tidy after an error."""

    def __call__(self, event: Event, /) -> None:
        """Take in one event."""

    def __enter__(self) -> Self:
        """Start listening."""

    def __exit__(self, *_: object) -> None:
        """Stop listening."""


def listener_for(json: bool) -> Listener:
    """The listener that suits the command's options and where stderr goes.

    Args:
        json: Whether events are written to stdout as JSON lines.
    """
    if json:
        return JsonLines()
    return LiveProgress() if console.is_live() else PlainProgress()


class JsonLines:
    """One JSON object a line on stdout; warnings go to stderr."""

    def __call__(self, event: Event, /) -> None:
        """Write ``event`` if scripts are promised it; numbers that aren't finite are null."""
        if isinstance(event, WarningEvent):
            console.warn(event.message)
        if isinstance(event, IN_JSON):
            sys.stdout.write(strict_json(to_json(event), default=str) + "\n")
            sys.stdout.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class PlainProgress:
    """A line an epoch on stderr, for logs and pipes."""

    def __init__(self, out: Console | None = None) -> None:
        self.out = out or console.messages()
        self._statistics_images = 0

    def __call__(self, event: Event, /) -> None:
        """Say what ``event`` means, if it is for people."""
        match event:
            case StartEvent():
                self.start(event)
            case FinishedEvent():
                self.finished(event)
            case ResumedEvent() | BranchedEvent():
                self.resumed(event)
            case CompiledEvent() | StatisticsEvent():
                self.cost(event)
            case StepEvent():
                self.step(event)
            case EpochEvent():
                self.epoch(event)
            case WarningEvent():
                self.warning(event)
            case StoppedEvent():
                self.stopped(event)
            case ResultEvent():
                self.result(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""

    def start(self, event: StartEvent) -> None:
        """What is trained, on what and where."""
        self.say(Text(event.name, style="bold"))
        console.print_table(self.out, console.labelled(describe(event)))

    def finished(self, event: FinishedEvent) -> None:
        """That nothing is left to do."""
        self.say(Text(f"{event.run} was finished before; nothing is trained again"))
        run = shlex.quote(str(event.run))
        longer = f"cifarzoo run {run}/config.gin --from {run} -s run.epochs=…"
        self.say(Text.assemble(("for longer: ", "dim"), (longer, "cyan")))

    def resumed(self, event: ResumedEvent | BranchedEvent) -> None:
        """Where an interrupted run goes on, or where one begins that has a parent."""
        if isinstance(event, BranchedEvent):
            self.say(Text(event.message))
            return
        how = "going on"
        if event.restart:
            how = f"restarted ({event.restart} of {event.max_restarts}), going on"
        self.say(Text(f"{how} from step {count(event.step)} of {count(event.steps)}"))

    def step(self, event: StepEvent) -> None:
        """Nothing: a log wants no more than a line an epoch."""

    def epoch(self, event: EpochEvent) -> None:
        """One line with the epoch's numbers."""
        cells = epoch_cells(event)
        self.say(Text("  ".join(f"{name} {value}" for name, value in cells.items())))

    def cost(self, event: CompiledEvent | StatisticsEvent) -> None:
        """What took time beside training; running statistics once for each number of images."""
        if isinstance(event, CompiledEvent):
            self.say(Text(f"compiled in {duration(event.seconds)}"))
        elif event.images != self._statistics_images:
            self._statistics_images = event.images
            what = "running statistics of the averaged weights"
            self.say(Text(f"{what} from {count(event.images)} images in {event.seconds:.1f} s"))

    def warning(self, event: WarningEvent) -> None:
        """What the user should know and what stops nothing."""
        self.say(Text.assemble(("warning: ", "yellow"), event.message))

    def stopped(self, event: StoppedEvent) -> None:
        """Where it stopped, and how to go on."""
        self.close()
        self.say(Text(f"stopped at step {count(event.step)} by {event.signal}; all is saved"))
        self.next_command("resume", event.run)

    def result(self, event: ResultEvent) -> None:
        """The last epoch's error, the folder with everything, and the next command."""
        self.close()
        took = f", {duration(event.train_seconds)} of training"
        error = Text(test_error(event.test, event.tta_test), style="bold green")
        self.say(error.append(f", test loss {event.test.loss:.4f}{took}", style="not bold default"))
        self.say(Text.assemble(("everything is in ", "dim"), str(event.run)))
        self.next_command("eval", event.run)

    def next_command(self, command: str, run: str | os.PathLike[str]) -> None:
        """What to type next."""
        line = f"cifarzoo {command} {shlex.quote(str(run))}"
        self.say(Text.assemble(("next: ", "dim"), (line, "cyan")))

    def say(self, text: RenderableType) -> None:
        """Print a line that is never broken, so that paths and commands can be copied."""
        self.out.print(text, soft_wrap=True)


class LiveProgress(PlainProgress):
    """A bar that moves, under a table of epochs that stays in the scrollback."""

    def __init__(self, out: Console | None = None) -> None:
        super().__init__(out)
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.widths: dict[str, int] = {}

    def close(self) -> None:
        """Take the bar away and show the cursor again."""
        if self.bar:
            self.bar.stop()
            self.bar = None

    def start(self, event: StartEvent) -> None:
        """What is trained, and how to stop."""
        super().start(event)
        counts = event.hardware.world_size == 1 or is_launched_by_us()  # torchrun does not
        twice = "; twice, it stops at once" if counts else ""
        self.say(Text(f"Ctrl-C saves and stops{twice}", style="dim"))

    def step(self, event: StepEvent) -> None:
        """Move the bar."""
        if self.bar is None:
            self.bar = progress_bar(self.out)
            self.task = self.bar.add_task("", total=event.steps, speed="", left="", loss="")
            self.bar.start()
            self.out.show_cursor(True)  # who ends the process at once would miss it ever after
        self.bar.update(
            self.task,
            completed=event.step,
            description=f"epoch {event.epoch:.1f}",
            speed=f"{count(event.images_per_second)} images/s",
            left="" if event.eta_seconds is None else f"{duration(event.eta_seconds)} left",
            loss=f"loss {event.loss:.3f}",
        )

    def epoch(self, event: EpochEvent) -> None:
        """One more row of the table, under its heading the first time."""
        cells = epoch_cells(event)
        if cells.keys() != self.widths.keys():
            least = {"epoch": 2 * len(str(event.epochs)) + 1} | LEAST_WIDTHS
            self.widths = {
                name: max(len(name), len(value), least.get(name, 0))
                for name, value in cells.items()
            }
            head = "  ".join(name.rjust(width) for name, width in self.widths.items())
            self.say(Text(head, style="dim"))
        row = (value.rjust(self.widths[name]) for name, value in cells.items())
        self.say(Text("  ".join(row)))


def describe(event: StartEvent) -> list[tuple[str, str]]:
    """A run's start as labelled lines."""
    data, length, hardware = event.data, event.length, event.hardware
    kept = data.validation_images
    validation = f", {count(kept)} kept for validation" if kept else ""
    processes = hardware.world_size
    device = hardware.device if processes == 1 else f"{processes} x {hardware.device}"
    training = (
        f"{plural(length.epochs, 'epoch')} of {plural(length.steps_per_epoch, 'step')} "
        f"of {plural(length.batch_size, 'image')}"
    )
    if length.steps < length.epochs * length.steps_per_epoch:
        training += f", ended after {plural(length.steps, 'step')}"
    return [
        ("network", f"{count(event.network.num_parameters)} parameters"),
        (
            "data",
            f"{data.dataset}: {count(data.train_images)} training images, "
            f"{count(data.test_images)} test images{validation}",
        ),
        ("training", training),
        ("weight decay", event.network.weight_decay),
        ("device", f"{device}, {hardware.precision}"),
        ("kernels", hardware.kernels),
        ("run", event.run),
    ]


def epoch_cells(event: EpochEvent) -> dict[str, str]:
    """An epoch as columns; a validation error only where images were kept for it."""
    cells = {
        "epoch": f"{event.epoch}/{event.epochs}",
        "train loss": f"{event.train_loss:.4f}",
        "test loss": f"{event.test.loss:.4f}",
        "test error": percent(event.test.error),
    }
    if event.validation is not None:
        cells["val error"] = percent(event.validation.error)
    return cells | {
        "lr": f"{event.lr:.3g}",
        "images/s": count(event.speed.images_per_second),
        "time": duration(event.speed.seconds),
    }


def progress_bar(out: Console) -> Progress:
    """The bar: how far, how fast, how long yet."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        TextColumn("{task.fields[speed]}", markup=False),
        TextColumn("{task.fields[loss]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        console=out,
        transient=True,
        expand=True,
    )
