"""A component on one page: what ``cifarzoo show NAME`` says of it.

Everything is read from its source; nothing of it is imported.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any

from rich.console import Console
from rich.text import Text

from cifarzoo.cli.terminal import console
from cifarzoo.components.index import Entry, Parameter
from cifarzoo.components.kinds import KINDS
from cifarzoo.components.registry import ROOT

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields|Example|Examples):$")
_ARGUMENT = re.compile(r"^ {4}(\w+): (.*)$")


@dataclass(frozen=True)
class Docstring:
    """A Google-style docstring, taken apart.

    Attributes:
        text: Everything outside sections: the summary, the paper, how it differs.
        arguments: What is said of each argument.
    """

    text: str
    arguments: dict[str, str]


def parse_docstring(doc: str) -> Docstring:
    """Take ``doc`` apart; a section ends where a line stands at its left edge again."""
    kept: list[str] = []
    arguments: dict[str, str] = {}
    section = argument = ""
    for line in cleandoc(doc).splitlines():
        if heading := _SECTION.match(line):
            section = heading[1]
        elif line and not line.startswith(" "):
            section = ""
        if not section:
            kept.append(line)
        elif section in ("Args", "Attributes"):
            if found := _ARGUMENT.match(line):
                argument = found[1]
                arguments[argument] = found[2]
            elif argument and line.strip():
                arguments[argument] += f" {line.strip()}"
    paragraphs = re.split(r"\n{2,}", "\n".join(kept).strip())
    return Docstring("\n\n".join(map(_flowing, paragraphs)), arguments)


def _flowing(paragraph: str) -> str:
    """A paragraph as one line; a list or an indented block is left alone."""
    lines = paragraph.splitlines()
    is_prose = all(line[:1].isalnum() or line[:1] in "`(\"'" for line in lines)
    return " ".join(lines) if is_prose else paragraph


def to_json(entry: Entry) -> dict[str, Any]:
    """The card as one object."""
    doc = parse_docstring(entry.doc)
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
                "type": parameter.annotation,
                "default": parameter.default,
                "doc": doc.arguments.get(parameter.name, ""),
            }
            for parameter in entry.parameters
        },
        "gin": snippet(entry),
    }


def print_card(out: Console, entry: Entry) -> None:
    """Print the card."""
    doc = parse_docstring(entry.doc)
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
    for line in snippet(entry).splitlines():
        out.print(Text(f"  {line}", style="green"), soft_wrap=True)
    out.print()
    rows = [("from", entry.origin)]
    if entry.overridden:
        rows.append(("in the place of", f"{entry.overridden.origin}: {entry.overridden.source}"))
    if entry.injected:
        rows.append(("given by the engine", ", ".join(entry.injected)))
    console.print_table(out, console.labelled([*rows, ("source", entry.source)]))


def declaration(parameter: Parameter) -> Text:
    """A parameter as in a signature: name, type, default."""
    text = Text(parameter.name, style="cyan")
    if parameter.annotation:
        text.append(f": {parameter.annotation}", style="default")
    if parameter.default is None:
        return text.append("  required", style="yellow")
    return text.append(f" = {parameter.default}", style="default")


def snippet(entry: Entry) -> str:
    """Lines that put the component into a config, with its defaults.

    A parameter that must be set, and a default that gin can't write, are comments.
    """
    return "\n".join([*_use(entry), *(_binding(entry.name, p) for p in entry.parameters)])


def _use(entry: Entry) -> list[str]:
    kind = KINDS.get(entry.kind)
    if kind is None or kind.run_field is None:
        return []
    used = f"[@{entry.name}]" if kind.is_list else f"@{entry.name}"
    return [f"{ROOT}.{kind.run_field} = {used}"]


def _binding(name: str, parameter: Parameter) -> str:
    if parameter.default is None:
        return f"# {name}.{parameter.name} =     ({parameter.annotation or 'any'}; required)"
    comment = "" if _is_literal(parameter.default) else "# "
    return f"{comment}{name}.{parameter.name} = {parameter.default}"


def _is_literal(source: str) -> bool:
    try:
        ast.literal_eval(source)
    except (ValueError, SyntaxError):
        return False
    return True
