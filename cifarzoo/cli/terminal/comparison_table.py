"""Groups of runs side by side, and each against the first: what ``cifarzoo compare`` prints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.differences_table import short_name, without_kinds
from cifarzoo.cli.terminal.text import Text
from cifarzoo.results.comparison import ComparedRuns
from cifarzoo.results.differences import pairing

STYLES = {"better": "green", "worse": "red"}


def print_comparison(out: Console, compared: ComparedRuns) -> None:
    """Print the settings that differ, a row a group, and what single pairs say of images."""
    if compared.differing:
        console.print_table(out, _settings(compared))
        out.print()
    console.print_table(out, _numbers(compared))
    for group in compared.groups:
        if group.same_images is not None:
            console.say(f"{group.name}: {group.same_images}")


def _settings(compared: ComparedRuns) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", overflow="fold")
    for _ in compared.groups:
        table.add_column(overflow="fold")
    table.add_row("", *(Text(group.name, "bold") for group in compared.groups))
    for name, values in compared.differing.items():
        shown = (Text(without_kinds(value), "") if value else Text("-", "dim") for value in values)
        table.add_row(short_name(name) if "." in name else name, *shown)
    return table


def _numbers(compared: ComparedRuns) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    for heading in ("n", compared.metric.replace("_", " "), "sd", "difference", "paired"):
        table.add_column(heading, justify="right")
    table.add_column("verdict", overflow="fold")
    for group in compared.groups:
        values, found = group.sample, group.difference
        table.add_row(
            Text(group.name),
            str(values.n),
            f"{values.mean:.2f} %",
            "" if values.sd is None else f"{values.sd:.2f}",
            f"{found.mean:+.2f}" if found else "",
            pairing(found) if found else "",
            Text(group.words, STYLES.get(found.verdict, "") if found else "dim"),
        )
    return table
