"""The Typer app: every command by name, and what becomes of errors.

Nothing here or in what it imports imports torch: help, completion and errors stay quick.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cifarzoo.cli import console, data, doctor, look, train
from cifarzoo.cli.versions import version_line
from cifarzoo.errors import CifarzooError

TRAIN, LOOK, TOOLS = "Train", "Look", "Tools"


class Commands(TyperGroup):
    """Shows what a user can act on as one line, and ends with its exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that ``ctx`` names."""
        try:
            return super().invoke(ctx)
        except CifarzooError as error:
            console.show_error(error)
            raise typer.Exit(error.exit_code) from error


app = typer.Typer(
    name="cifarzoo",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
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


app.command(rich_help_panel=TRAIN)(train.run)
app.command(rich_help_panel=TRAIN)(train.resume)
app.command("eval", rich_help_panel=TRAIN)(train.evaluate)
app.command("ls", rich_help_panel=LOOK)(look.ls)
app.command(rich_help_panel=LOOK)(look.show)
app.command(rich_help_panel=LOOK)(look.check)
app.add_typer(data.app, name="data", rich_help_panel=TOOLS)
app.command("doctor", rich_help_panel=TOOLS)(doctor.doctor)
