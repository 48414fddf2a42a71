"""``cifarzoo new``: writes a plugin to begin with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cifarzoo.cli import completion, options
from cifarzoo.cli.terminal import console
from cifarzoo.components.kinds import KINDS
from cifarzoo.run_folders.strict_json import strict_json

HERE = Path()


def new(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help=f"{', '.join(KINDS)}.",
            autocompletion=completion.kinds,
            show_default=False,
        ),
    ],
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of the component, such as my_idea; the files are called so too.",
            show_default=False,
        ),
    ],
    *,
    package: Annotated[
        bool, typer.Option("--package", help="Write a package to be installed, in a folder.")
    ] = False,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Where the files go (default: the current folder).",
            callback=options.with_home,
            show_default=False,
        ),
    ] = HERE,
    as_json: options.Json = False,
) -> None:
    """Write a plugin with one component, a config that uses it, and its tests.

    It works as it stands: change what it does. Nothing that is there is overwritten.
    """
    from cifarzoo.scaffolding.writing import write_plugin

    written = write_plugin(kind, name, out, is_package=package)
    if as_json:
        files = [str(path) for path in written.files]
        typer.echo(strict_json({"kind": kind, "name": name, "files": files}))
        return
    for path in written.files:
        console.say(str(path))
    install = f"pip install -e {shlex.quote(str(written.config.parent))}"
    named = "" if package else f" -p {shlex.quote(str(written.plugin))}"
    run = f"cifarzoo run {shlex.quote(str(written.config))}{named}"
    commands = [*[install] * package, f"pytest {shlex.quote(str(written.test))}", run]
    console.note(f"next: {commands[0]}")
    for command in commands[1:]:
        console.note(f"      {command}")
