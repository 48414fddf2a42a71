"""The Typer app: every command by name, and what becomes of errors.

Nothing here or in what it imports imports torch: help, completion and errors stay quick.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cifarzoo.cli.commands import Commands
from cifarzoo.cli.lazy_commands import LazyCommands, Place

TRAIN, LOOK, TOOLS = "Train", "Look", "Tools"
PLACES = {
    "run": Place(TRAIN, "train", "run"),
    "resume": Place(TRAIN, "train", "resume"),
    "sweep": Place(TRAIN, "sweep", "sweep"),
    "eval": Place(TRAIN, "train", "evaluate"),
    "ls": Place(LOOK, "look", "ls"),
    "show": Place(LOOK, "look", "show"),
    "check": Place(LOOK, "look", "check"),
    "runs": Place(LOOK, "runs", "app"),
    "compare": Place(LOOK, "compare", "compare"),
    "reproduce": Place(TOOLS, "reproduce", "reproduce"),
    "bench": Place(TOOLS, "bench", "bench"),
    "data": Place(TOOLS, "data", "app"),
    "new": Place(TOOLS, "new", "new"),
    "doctor": Place(TOOLS, "doctor", "doctor"),
}


class Cifarzoo(Commands):
    """All commands, each imported when it is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"commands": LazyCommands(PLACES)})


app = typer.Typer(
    name="cifarzoo",
    cls=Cifarzoo,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # what a plugin says in one isn't markup
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from cifarzoo.cli.versions import version_line

        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def cifarzoo(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the versions of cifarzoo and torch, and the git commit.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Experiments on CIFAR-class images, described by .gin files."""
