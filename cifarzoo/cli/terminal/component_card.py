"""A component on one page: what ``cifarzoo show NAME`` says of it.

Everything is read from its source; nothing of it is imported.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rich.console import Console

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.text import Text
from cifarzoo.components.index import Entry, Parameter
from cifarzoo.components.reference import docstring_of, snippet


def to_json(entry: Entry, entries: Collection[Entry]) -> dict[str, Any]:
    """The card as one object; ``entries`` are all the components there are."""
    doc = docstring_of(entry)
    return {
        "kind": entry.kind,
        "name": entry.name,
        "doc": entry.summary,
        "text": doc.text,
        "origin": entry.origin,
        "source": entry.source,
        "override": entry.override,
        "injected": list(entry.injected),
        "parameters": {
            parameter.name: {
                "type": parameter.type,
                "range": parameter.range or None,
                "default": parameter.default,
                "doc": doc.arguments.get(parameter.name, ""),
            }
            for parameter in entry.parameters
        },
        "preset": _preset(entry),
        "gin": snippet(entry, entries),
    }


def _preset(entry: Entry) -> dict[str, Any] | None:
    if entry.preset is None:
        return None
    return {
        "family": entry.preset.family.name,
        "bound": {parameter.name: parameter.default for parameter in entry.preset.bound},
        "num_parameters": entry.preset.num_parameters,
    }


def print_card(out: Console, entry: Entry, entries: Collection[Entry]) -> None:
    """Print the card; ``entries`` are all the components there are."""
    doc = docstring_of(entry)
    out.print(Text.assemble((entry.name, "bold cyan"), (f"  {entry.kind}", "dim")))
    out.print()
    for line in doc.text.replace("``", "").splitlines():
        out.print(Text(line))
    if entry.parameters:
        out.print(Text("\nParameters", style="bold"))
    for parameter in entry.parameters:
        out.print(Text("  ").append(declaration(parameter)))
        if about := doc.arguments.get(parameter.name):
            console.print_table(out, console.labelled([("  ", about.replace("``", ""))]))
    out.print(Text("\nIn a config", style="bold"))
    for line in snippet(entry, entries).splitlines():
        out.print(Text(f"  {line}", style="green"), soft_wrap=True)
    out.print()
    rows = [("from", entry.origin)]
    if entry.overridden:
        rows.append(("in the place of", f"{entry.overridden.origin}: {entry.overridden.source}"))
    if entry.preset:
        fixed = ", ".join(f"{p.name} = {p.default}" for p in entry.preset.bound)
        family = entry.preset.family.name
        rows.append(("preset of", f"{family}, with {fixed}" if fixed else family))
        if entry.preset.num_parameters is not None:
            rows.append(("parameters", f"{entry.preset.num_parameters:,} at 10 classes"))
    if entry.injected:
        rows.append(("given by the engine", ", ".join(entry.injected)))
    console.print_table(out, console.labelled([*rows, ("source", entry.source)]))


def declaration(parameter: Parameter) -> Text:
    """A parameter as in a signature: name, type, default."""
    text = Text(parameter.name, style="cyan")
    if parameter.type:
        text.append(f": {parameter.type}", style="default")
    if parameter.default is None:
        text.append("  required", style="yellow")
    else:
        text.append(f" = {parameter.default}", style="default")
    return text.append(f"  {parameter.range}", style="dim") if parameter.range else text
