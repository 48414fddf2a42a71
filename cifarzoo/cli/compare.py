"""``compare``: what two configs differ in."""

from __future__ import annotations

from typing import Annotated

import typer

from cifarzoo.cli.options import Json, Plugins, config_argument
from cifarzoo.cli.terminal import console
from cifarzoo.runs.strict_json import strict_json


def compare(
    first: Annotated[str, config_argument("A.gin")],
    second: Annotated[str, config_argument("B.gin")],
    *,
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """Show the settings in which two configs differ, defaults counted."""
    from cifarzoo import config
    from cifarzoo.cli.terminal import differences_table
    from cifarzoo.config.differences import differences

    one, other = (config.load(name, plugins=plugins or ()) for name in (first, second))
    console.warn_of(one)
    console.warn_of(other)
    found = list(differences(one, other))
    if as_json:
        typer.echo(strict_json([difference.to_json() for difference in found], indent=2))
    elif not found:
        console.say(f"{first} and {second} are the same run")
    else:
        differences_table.print_differences(console.results(), first, second, found)
