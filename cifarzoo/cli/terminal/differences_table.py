"""Settings in which two configs differ, as a table: what ``cifarzoo compare`` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text
from cifarzoo.cli.terminal.units import plural
from cifarzoo.config.differences import Difference
from cifarzoo.config.effective import EffectiveValue
from cifarzoo.results.formats import Records
from cifarzoo.run_folders.resolved import short_name, without_kinds

ABSENT = "-"


def print_differences(out: Console, first: str, second: str, found: list[Difference]) -> None:
    """Print a row a setting: its name, its value in ``first`` and in ``second``."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", overflow="fold")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_row("", *(Text(name, style="bold") for name in (first, second)))
    for each in found:
        table.add_row(short_name(each.name), _text(each.first), _text(each.second))
    console.print_table(out, table)
    verb = "differs" if len(found) == 1 else "differ"
    out.print(Text(f"{plural(len(found), 'setting')} {verb}", style="dim"), soft_wrap=True)


def to_records(first: str, second: str, found: Sequence[Difference], *, is_short: bool) -> Records:
    """The same rows as plain values; ``is_short``: as people write them, without the kinds."""
    rows = []
    for each in found:
        values = [value and value.source for value in (each.first, each.second)]
        if is_short:
            values = [value and without_kinds(value) for value in values]
        name = short_name(each.name) if is_short else each.name
        rows.append(dict(zip(("setting", first, second), (name, *values), strict=True)))
    return Records(columns=("setting", first, second), rows=tuple(rows))


def _text(setting: EffectiveValue | None) -> Text:
    """A value; in dim letters if it is the default, and a dash where there is no such component."""
    if setting is None:
        return Text(ABSENT, style="dim")
    text = without_kinds(setting.source)
    return Text(text, style="dim" if setting.is_default else "")
