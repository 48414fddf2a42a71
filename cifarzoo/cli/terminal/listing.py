"""Components and recipes on a terminal: a line each, or names alone where a kind has too many."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from cifarzoo.cli.selection import BROKEN, CONFIG, PLURALS, Item
from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text
from cifarzoo.escaping import visible

INDENT, GAP = 2, 2  # characters before a row, and between its cells
WIDE = 120  # characters of a line from which parameters stand beside the summary, not under it
MANY_PRESETS = 10  # of a kind; fewer stand among the other names
PROMPT_LINES = 2  # of a screen: the command above, and the prompt below
HEADINGS = PLURALS | {BROKEN: "plugins that cannot be used"}
HINT = "cifarzoo ls KIND: a line for each of a kind; cifarzoo show NAME: all about one"


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Characters of each cell of a row, the same for all kinds.

    Attributes:
        name: Width of the longest name.
        summary: Width of the longest summary, or what the line leaves for it.
        origin: Width of the longest origin; 0: all are cifarzoo's own, and none is shown.
        parameters: Width of the parameters; 0: they stand under the summary, or nowhere.
    """

    name: int
    summary: int
    origin: int
    parameters: int


def print_overview(out: Console, items: Sequence[Item]) -> None:
    """Print ``items`` on one screen: as many of the largest kinds as need be by names alone."""
    sizes = {kind: len(list(group)) for kind, group in groupby(items, key=lambda item: item.kind)}
    largest_first = sorted({*sizes} - {BROKEN}, key=lambda kind: -sizes[kind])
    for number in range(len(largest_first) + 1):
        shown = _by_kind(out, items, by_name=largest_first[:number], is_verbose=False)
        lines = out.render_lines(shown, pad=False)
        if not out.is_terminal or len(lines) <= out.height - PROMPT_LINES:
            break
    console.print_table(out, shown)


def print_items(out: Console, items: Sequence[Item], *, is_verbose: bool) -> None:
    """Print ``items``, in the order of their kinds, a line each.

    Args:
        out: Console to print on.
        items: Items to print.
        is_verbose: Whether summaries are whole, and parameters shown.
    """
    console.print_table(out, _by_kind(out, items, by_name=(), is_verbose=is_verbose))


def _by_kind(
    out: Console, items: Sequence[Item], *, by_name: Collection[str], is_verbose: bool
) -> Group:
    """A heading and a paragraph a kind; only names of those kinds that are in ``by_name``."""
    in_rows = [item for item in items if item.kind not in (*by_name, BROKEN)]
    widths = _widths(out, in_rows, is_verbose=is_verbose)
    parts: list[RenderableType] = []
    for kind, each in groupby(items, key=lambda item: item.kind):
        group = list(each)
        if kind == BROKEN:
            rows: RenderableType = _reasons(group)
        elif kind in by_name:
            rows = _names(kind, group)
        else:
            rows = _rows(group, widths, is_verbose=is_verbose)
        heading = Text(HEADINGS[kind], style="bold")
        parts += [*([""] if parts else []), heading, Padding(rows, (0, 0, 0, INDENT))]
    if by_name:
        parts += ["", Text(HINT, style="dim")]
    return Group(*parts)


def _widths(out: Console, items: Sequence[Item], *, is_verbose: bool) -> Widths:
    most = out.width // 3  # of a name: a long one of somebody's takes no summary away
    name = min(_longest(item.name for item in items), most)
    is_ours = all(item.origin == "cifarzoo" for item in items)
    origin = 0 if is_ours else min(_longest(map(_origin, items)), most)
    left = out.width - INDENT - name - GAP - (origin + GAP if origin else 0)
    summary = _longest(map(_summary, items))
    parameters = _longest(map(signature, items)) if is_verbose else 0
    if out.width < WIDE:
        summary, parameters = min(left, max(summary, parameters)), 0
    elif parameters:
        summary = min(summary, left // 2)
        parameters = left - summary - GAP
    return Widths(name=name, summary=max(summary, 1), origin=origin, parameters=parameters)


def _longest(texts: Iterable[str]) -> int:
    return max((len(visible(text)) for text in texts), default=0)


def _rows(items: Iterable[Item], widths: Widths, *, is_verbose: bool) -> Table:
    """A row an item, cut to one line unless it is to be verbose."""
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(width=widths.name, style="cyan", no_wrap=True)
    table.add_column(width=widths.summary, no_wrap=not is_verbose, overflow="ellipsis")
    if widths.origin:
        table.add_column(width=widths.origin, style="dim", no_wrap=True)
    if widths.parameters:
        table.add_column(width=widths.parameters, style="dim")
    for item in items:
        about: RenderableType = Text(_summary(item))
        takes = Text(signature(item), style="dim")
        if is_verbose and not widths.parameters and takes:
            about = Group(about, takes)
        origin = [_origin(item)] if widths.origin else []
        table.add_row(item.name, about, *origin, *([takes] if widths.parameters else []))
    return table


def _reasons(items: Iterable[Item]) -> Group:
    """Why plugins can't be used, whole, whatever lines that takes."""
    return Group(*(Text(f"{item.name}: {item.doc}") for item in items))


def _names(kind: str, items: Sequence[Item]) -> Group:
    """Names, as many in a line as there is room for; of many presets of a kind their number."""
    presets = [item.name for item in items if item.is_preset]
    if len(presets) < MANY_PRESETS:
        presets = []
    names = [item.name for item in items if item.name not in presets]
    paragraph = Text((" " * GAP).join(names), style="cyan")
    if not presets:
        return Group(paragraph)
    more = f"and {len(presets)} of these with settings, such as {presets[0]}"
    return Group(paragraph, Text(f"{more}: cifarzoo ls {PLURALS[kind]}", style="dim"))


def _summary(item: Item) -> str:
    return item.doc.replace("``", "")


def _origin(item: Item) -> str:
    """Who provides it, a file by its name alone, and whose component it takes the place of."""
    if item.kind == CONFIG:
        return ""
    origin = Path(item.origin).name
    return f"{origin}, for {item.replaces}'s" if item.replaces else origin


def signature(item: Item) -> str:
    """Such as ``dropout_rate=0.0, depth``: a parameter without a default is required."""
    return ", ".join(
        name if default is None else f"{name}={default}"
        for name, default in item.parameters.items()
    )
