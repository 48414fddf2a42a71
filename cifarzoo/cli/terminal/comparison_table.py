"""Groups of runs side by side, and each against the first: what ``cifarzoo compare`` prints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text
from cifarzoo.results.comparing.comparison import ComparedRuns
from cifarzoo.results.comparing.differences import pairing
from cifarzoo.run_folders.resolved import short_name, without_kinds

MOST_BESIDE = 3  # groups whose settings stand side by side
STYLES = {"better": "green", "worse": "red"}


def print_comparison(out: Console, compared: ComparedRuns) -> None:
    """Print the settings that differ, a row a group, and what single pairs say of images."""
    if compared.differing:
        is_narrow = len(compared.groups) <= MOST_BESIDE
        console.print_table(out, (_settings if is_narrow else _changes)(compared))
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
        table.add_row(_short(name), *shown)
    return table


def _changes(compared: ComparedRuns) -> Table:
    """A row a group: what the baseline has, and what each of the others has otherwise."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    for number, group in enumerate(compared.groups):
        has = {name: values[number] for name, values in compared.differing.items()}
        shown = [
            f"{_short(name)}={without_kinds(value)}"
            for name, value in has.items()
            if value is not None and (number == 0 or value != compared.differing[name][0])
        ]
        table.add_row(Text(group.name), Text(", ".join(shown) or "-"))
    return table


def _short(name: str) -> str:
    """A setting without its kind; a plugin or the data are called as they are."""
    return short_name(name) if "." in name and " " not in name else name


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
