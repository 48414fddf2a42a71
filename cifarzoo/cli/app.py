"""The Typer app: every command by name, and what becomes of errors.

Nothing here or in what it imports imports torch: help, completion and errors stay quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from cifarzoo.cli import bench, compare, data, doctor, look, new, reproduce, runs, sweep, train
from cifarzoo.cli.commands import Command, Commands, with_traceback
from cifarzoo.cli.versions import version_line

TRAIN, LOOK, TOOLS = "Train", "Look", "Tools"


app = typer.Typer(
    name="cifarzoo",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # what a plugin says in one isn't markup
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
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


for panel, name, command in (
    (TRAIN, "run", train.run),
    (TRAIN, "resume", train.resume),
    (TRAIN, "sweep", sweep.sweep),
    (TRAIN, "eval", train.evaluate),
    (LOOK, "ls", look.ls),
    (LOOK, "show", look.show),
    (LOOK, "check", look.check),
    (LOOK, "compare", compare.compare),
    (TOOLS, "reproduce", reproduce.reproduce),
    (TOOLS, "bench", bench.bench),
    (TOOLS, "new", new.new),
    (TOOLS, "doctor", doctor.doctor),
):
    app.command(name, cls=Command, rich_help_panel=panel)(with_traceback(command))
app.add_typer(runs.app, name="runs", cls=runs.ListsByDefault, rich_help_panel=LOOK)
app.add_typer(data.app, name="data", cls=Commands, rich_help_panel=TOOLS)
