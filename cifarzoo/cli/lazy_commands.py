"""Commands whose modules are imported when one of them is asked for.

A command that trains, compares or exports needs much that a listing doesn't: with all of them
imported, the start of each took half a second longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer

from cifarzoo.cli.commands import Command, Commands, with_traceback


@dataclass(frozen=True)
class Place:
    """Where a command is, and under which heading help lists it.

    Attributes:
        panel: The heading.
        module: Module of ``cifarzoo.cli``.
        attribute: Its function, or a Typer app of several commands.
    """

    panel: str
    module: str
    attribute: str

    def command(self, name: str) -> Any:
        """The command as Typer makes it, called ``name``."""
        found = getattr(import_module(f"cifarzoo.cli.{self.module}"), self.attribute)
        one = typer.Typer()
        if isinstance(found, typer.Typer):
            cls = found.info.cls or Commands
            one.add_typer(found, name=name, cls=cls, rich_help_panel=self.panel)
        else:
            one.command(name, cls=Command, rich_help_panel=self.panel)(with_traceback(found))
        return typer.main.get_group(one).commands[name]


class LazyCommands(Mapping[str, Any]):
    """Commands by name, as Typer wants them of a group.

    Args:
        places: Where each is, by name, in the order of help.
    """

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._places[name].command(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
