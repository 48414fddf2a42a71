"""Components and recipes as rows: what ``cifarzoo ls`` selects, writes and prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.header import title
from cifarzoo.components.index import Entry, near
from cifarzoo.components.kinds import KINDS
from cifarzoo.errors import UsageError

CONFIG = "config"  # what recipes are listed as; no kind of component
WIDE = 120  # columns from which a row takes one line


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the list, and one object of its JSON form.

    Attributes:
        kind: A kind of component, or ``config``.
        name: Its gin name, or the recipe's file name.
        doc: One line.
        origin: Who provides it.
        source: Where it stands.
        parameters: Name to default as source text; None where a value is required.
        replaces: Whose component of the same name it takes the place of; empty: nobody's.
    """

    kind: str
    name: str
    doc: str
    origin: str
    source: str
    parameters: dict[str, str | None]
    replaces: str = ""

    def to_json(self) -> dict[str, Any]:
        """The promised object; scripts lean on its keys."""
        return {
            "kind": self.kind,
            "name": self.name,
            "doc": self.doc,
            "origin": self.origin,
            "source": self.source,
            "parameters": self.parameters,
        }


def of_component(entry: Entry) -> Row:
    """A component as a row."""
    return Row(
        kind=entry.kind,
        name=entry.name,
        doc=entry.summary,
        origin=entry.origin,
        source=entry.source,
        parameters={parameter.name: parameter.default for parameter in entry.parameters},
        replaces=entry.overridden.origin if entry.overridden else "",
    )


def of_recipe(name: str, path: Path) -> Row:
    """A recipe as a row; its doc is the first line of its comment."""
    return Row(
        kind=CONFIG,
        name=name,
        doc=title(path),
        origin="cifarzoo",
        source=str(path),
        parameters={},
    )


def kind_named(text: str) -> str:
    """The kind that a user means by ``text``: singular, plural, or a beginning of one.

    Raises:
        UsageError: There is no such kind.
    """
    kinds = [*KINDS, CONFIG]
    kind = text.lower().removesuffix("s")
    begun = [known for known in kinds if kind and known.startswith(kind)]
    if len(begun) == 1:
        return begun[0]
    hint = near(text, [f"{known}s" for known in kinds]) or f"; the kinds are {', '.join(kinds)}"
    raise UsageError(f"no kind {text!r}{hint}")


def matching(rows: Iterable[Row], *, kind: str | None, pattern: str | None) -> list[Row]:
    """Those of ``kind`` whose names match ``pattern``, in the kinds' order, then by name."""
    order = [*KINDS, CONFIG]
    chosen = [
        row
        for row in rows
        if (kind is None or row.kind == kind) and fnmatchcase(row.name, pattern or "*")
    ]
    return sorted(chosen, key=lambda row: (order.index(row.kind), row.name))


def print_rows(out: Console, rows: Sequence[Row]) -> None:
    """Print ``rows``, grouped by kind: a line each, or more where the terminal is narrow."""
    wide = out.width >= WIDE
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, style="dim")
    if wide:
        table.add_column(ratio=1, style="dim")
    for number, (kind, group) in enumerate(groupby(rows, key=lambda row: row.kind)):
        if number:
            table.add_row()
        table.add_row(Text(f"{kind}s", style="bold default"))
        for row in group:
            table.add_row(f"  {row.name}", *_cells(row, wide=wide))
    console.print_table(out, table)


def _cells(row: Row, *, wide: bool) -> list[RenderableType]:
    doc, takes = Text(row.doc.replace("``", "")), Text(signature(row.parameters), style="dim")
    if wide:
        return [doc, _provider(row), takes]
    return [Text("\n").join(text for text in (doc, takes) if text), _provider(row)]


def _provider(row: Row) -> str:
    """Who provides it, a file by its name alone, and whose component it takes the place of."""
    if row.kind == CONFIG:
        return ""
    origin = Path(row.origin).name
    return f"{origin}, for {row.replaces}'s" if row.replaces else origin


def signature(parameters: dict[str, str | None]) -> str:
    """Such as ``dropout_rate=0.0, depth``: a parameter without a default is required."""
    return ", ".join(
        name if default is None else f"{name}={default}" for name, default in parameters.items()
    )
