"""How every command behaves: a user's error is a line, a flag has no type."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from cifarzoo.cli import console
from cifarzoo.errors import CifarzooError


class PlainFlags:
    """Help says of a flag what it does, and not that it is a bool."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The arguments and options of a command, ``--help`` among them."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]  # Typer's class is next
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class Command(PlainFlags, TyperCommand):
    """One command."""


class Commands(PlainFlags, TyperGroup):
    """Commands; what a user can act on is shown as lines and ends with its exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that ``ctx`` names."""
        try:
            return super().invoke(ctx)
        except CifarzooError as error:
            console.show_error(error)
            raise typer.Exit(error.exit_code) from error
