"""Where text goes: results to stdout, progress and errors to stderr, colour to terminals only.

On a terminal text is laid out for its width; in a pipe or a file no line is broken, so that
``grep`` and ``cut`` find whole lines.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.table import Table

from cifarzoo.cli.terminal import streams
from cifarzoo.cli.terminal.text import SafeConsole, Text
from cifarzoo.components.trust import shown
from cifarzoo.errors import CifarzooError, StoppedError, wants_traceback
from cifarzoo.escaping import visible

if TYPE_CHECKING:
    from cifarzoo.config import Config

PIPE_WIDTH = 10_000
MAX_LINE = 5_000  # characters of an error; a path has at most 4,096


def results() -> Console:
    """The console of stdout."""
    return _console(stderr=False)


def messages() -> Console:
    """The console of stderr."""
    return _console(stderr=True)


def is_live() -> bool:
    """Whether stderr can show something that is redrawn."""
    console = messages()
    return sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal


def print_table(console: Console, table: RenderableType) -> None:
    """Print ``table`` without the blanks with which rich fills up its lines."""
    lines = console.render_lines(table, pad=False)
    for line in lines:
        text = Text.assemble(*((segment.text, segment.style or "") for segment in line))
        text.rstrip()
        console.print(text, soft_wrap=True)


def labelled(rows: Iterable[tuple[str, str]], *, indent: int = 2) -> Table:
    """Rows of a dim label and a text."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows:
        table.add_row(" " * indent + label, Text(text))
    return table


def say(message: str) -> None:
    """Print a line of a command's result."""
    results().print(Text(message), soft_wrap=True)


def note(message: str) -> None:
    """Print on stderr, in dim letters, what is being done."""
    messages().print(Text(message, style="dim"), soft_wrap=True)


def warn(message: str) -> None:
    """Say something on stderr that the user should know and that stops nothing."""
    messages().print(Text.assemble(("warning: ", "yellow"), message), soft_wrap=True)


def warn_of(config: Config) -> None:
    """Say what a user may not expect of a config."""
    for message in config.notes():
        warn(message)


def name_copies(config: Config) -> None:
    """Name the copies of plugins in a run's folder whose code a command is about to run."""
    copies = config.catalogue.kept
    its_own = [e for e in config.components() if e.file and e.file.plugin in copies]
    for plugin in shown(entry for entry in its_own if entry.is_trusted):
        note(f"runs the run's own copy {plugin}")


def show_error(error: CifarzooError) -> None:
    """Show ``error`` on stderr, a line a problem, marked as errors on a terminal.

    Its traceback comes before that only where ``CIFARZOO_TRACEBACK`` asks for it.
    """
    console = messages()
    marked = sys.stderr.isatty() and not isinstance(error, StoppedError)
    prefix = Text("error: ", style="bold red") if marked else Text()
    if wants_traceback():
        print_traceback(error)
    try:
        for line in str(error).split("\n"):
            console.print(prefix + Text(_not_endless(line)), soft_wrap=True)
        for line in () if wants_traceback() else getattr(error, "__notes__", ()):
            console.print(Text(line), soft_wrap=True)
    except OSError:  # nobody can be told; the exit code still can
        streams.drop(sys.stderr)


def print_traceback(error: BaseException) -> None:
    """Print how ``error`` came about on stderr, as Python does."""
    with suppress(OSError):
        sys.stderr.write(visible("".join(traceback.format_exception(error))))
        sys.stderr.flush()


def _not_endless(line: str) -> str:
    """The beginning of a line that names something of far too many letters."""
    return line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}… ({len(line):,} characters)"


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    in_pipe = not stream.isatty() and "COLUMNS" not in os.environ
    return SafeConsole(stderr=stderr, width=PIPE_WIDTH if in_pipe else None)
