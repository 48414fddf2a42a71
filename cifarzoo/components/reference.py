"""What is said of a component: its docstring taken apart, and the lines that put it into a config.

``cifarzoo show`` prints it, and the reference in docs/ is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from inspect import cleandoc

from cifarzoo.components.index import Entry, Parameter
from cifarzoo.components.kinds import KINDS
from cifarzoo.components.python_source import literal
from cifarzoo.components.root import ROOT

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields|Example|Examples):$")
_ITEM = re.compile(r"^ {4}(\w+): (.*)$")


@dataclass(frozen=True)
class Docstring:
    """A Google-style docstring, taken apart.

    Attributes:
        text: Everything outside sections: the summary, the paper, how it differs.
        arguments: What is said of each argument.
        errors: What is said of each error that is raised.
    """

    text: str
    arguments: dict[str, str]
    errors: dict[str, str]


def parse_docstring(doc: str) -> Docstring:
    """Take ``doc`` apart; a section ends where a line stands at its left edge again."""
    kept: list[str] = []
    items: dict[str, dict[str, str]] = {"Args": {}, "Raises": {}}
    section = item = ""
    for line in cleandoc(doc).splitlines():
        if heading := _SECTION.match(line):
            section = "Args" if heading[1] == "Attributes" else heading[1]
            item = ""
        elif line and not line.startswith(" "):
            section = ""
        if not section:
            kept.append(line)
        elif section in items:
            if found := _ITEM.match(line):
                item = found[1]
                items[section][item] = found[2]
            elif item and line.strip():
                items[section][item] += f" {line.strip()}"
    paragraphs = re.split(r"\n{2,}", "\n".join(kept).strip())
    return Docstring("\n\n".join(map(_flowing, paragraphs)), items["Args"], items["Raises"])


def docstring_of(entry: Entry) -> Docstring:
    """What is said of a component, and of a preset's family where that is what it makes."""
    own = parse_docstring(entry.doc)
    if entry.preset is None:
        return own
    family = docstring_of(entry.preset.family)
    text = f"{own.text}\n\n{family.text}" if entry.preset.bound else own.text
    return replace(family, text=text)


def _flowing(paragraph: str) -> str:
    """A paragraph as one line; a list or an indented block is left alone."""
    lines = paragraph.splitlines()
    is_prose = all(line[:1].isalnum() or line[:1] in "`(\"'" for line in lines)
    return " ".join(lines) if is_prose else paragraph


def snippet(entry: Entry, entries: Iterable[Entry] = ()) -> str:
    """Lines that put the component into a config, with its defaults.

    A parameter that must be set, and a default that gin can't write, are comments.

    Args:
        entry: Component of any kind.
        entries: Components among which one is found to hold it, where ``run`` doesn't.
    """
    bindings = [_binding(entry.name, parameter) for parameter in entry.parameters]
    return "\n".join([*_use(entry, list(entries)), *bindings])


def _use(entry: Entry, entries: Sequence[Entry]) -> list[str]:
    kind = KINDS.get(entry.kind)
    if kind is None:
        return []
    if kind.run_field is None:
        holders = (e for e in entries if e.preset is None and KINDS[e.kind].run_field)
        for holder in sorted(holders, key=lambda holder: holder.name):
            for parameter in holder.parameters:
                if kind.alias in (parameter.annotation or ""):
                    return [*_use(holder, ()), f"{holder.name}.{parameter.name} = @{entry.name}"]
        return []
    used = f"[@{entry.name}]" if kind.is_list else f"@{entry.name}"
    return [f"{ROOT}.{kind.run_field} = {used}"]


def _binding(name: str, parameter: Parameter) -> str:
    if parameter.default is None:
        return f"# {name}.{parameter.name} =     ({parameter.type or 'any'}; required)"
    comment = "" if _is_literal(parameter.default) else "# "
    return f"{comment}{name}.{parameter.name} = {parameter.default}"


def _is_literal(source: str) -> bool:
    try:
        literal(source)
    except ValueError:
        return False
    return True
