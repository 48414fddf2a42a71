"""The page of the commands, from the Typer app: what ``-h`` says, without a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from cifarzoo.cli.app import app
from cifarzoo_docs.markdown import block, code, definitions, page, prose

_TYPE = re.compile(r" <\w+>$")  # of an argument
_BRACES = re.compile(r"\{(\w+)\}")  # around an argument that must be given


def commands_page() -> str:
    """Every command with its arguments and options, those of groups too."""
    group: Any = typer.main.get_command(app)
    context = group.context_class(group, info_name="cifarzoo")
    sections = [_section(command, of) for command, of in _commands(group, context)]
    return page("Commands", prose(group.help), *sections)


def _commands(group: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    for name, command in group.commands.items():
        of = command.context_class(command, info_name=name, parent=context)
        if hasattr(command, "commands"):
            yield from _commands(command, of)
        else:
            yield command, of


def _section(command: Any, context: Any) -> str:
    usage = command.get_usage(context).removeprefix("Usage: ")
    records = [p.get_help_record(context) for p in command.get_params(context)]
    options = [
        (code(_TYPE.sub("", names)), prose(" ".join(said.split())))
        for names, said in filter(None, records)
    ]
    return "\n\n".join(
        [
            f"## {context.command_path}",
            prose(command.help),
            block("text", _BRACES.sub(r"\1", " ".join(usage.split()))),
            definitions(options),
        ]
    )
