"""A page for each kind of component with a section for each, and one for what a run has.

All of it is read from source: no component is imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cifarzoo.cli.selection import by_number
from cifarzoo.components.index import Entry, Parameter, root
from cifarzoo.components.kinds import KINDS, Kind
from cifarzoo.components.plugins import OURS, catalogue
from cifarzoo.components.reference import docstring_of, parse_docstring, snippet
from cifarzoo.components.root import ROOT
from cifarzoo_docs.markdown import block, code, definitions, page, prose, table
from cifarzoo_docs.networks import family_of, layers_of, mflops, parts_table
from cifarzoo_docs.pictures import picture

REPOSITORY = Path(__file__).parents[3]


def entries() -> list[Entry]:
    """Every component of cifarzoo's own, whatever plugins this machine has; families first.

    A family is followed by its presets.
    """
    found = [e for e in catalogue(files=()).entries.values() if e.origin == OURS]
    return sorted(
        found,
        key=lambda entry: (
            family_of(entry).name,
            entry.preset is not None,
            by_number(entry.name),
        ),
    )


def kind_pages() -> dict[str, str]:
    """The page of each kind that has components, by the kind's plural."""
    return {kind.plural: kind_page(kind, found) for kind, found in by_kind().items()}


def by_kind() -> dict[Kind, list[Entry]]:
    """The components of each kind that has some."""
    found = entries()
    each = {kind: [e for e in found if e.kind == name] for name, kind in KINDS.items()}
    return {kind: of_it for kind, of_it in each.items() if of_it}


def page_of(entry: Entry) -> str:
    """Name of the page that has the section of ``entry``."""
    return KINDS[entry.kind].plural


def overview() -> str:
    """Every component by its kind, each a link to its section."""
    found = entries()
    names = {
        kind: [f"[`{e.name}`]({kind.plural}.md#{e.name})" for e in found if e.kind == kind.name]
        for kind in KINDS.values()
    }
    return definitions(
        (f"[{kind.plural.capitalize()}]({kind.plural}.md)", " ".join(links))
        for kind, links in names.items()
        if links
    )


def kind_page(kind: Kind, found: list[Entry]) -> str:
    """The page of a kind: a list of its components, and the section of each."""
    rows = [(f"[`{e.name}`](#{e.name})", *_sizes(e), prose(_first_line(e))) for e in found]
    sizes = ("parameters", "MFLOPs") if kind.name == "architecture" else ()
    title = kind.plural.capitalize()
    contents = table((kind.name, *sizes, "what it is"), rows)
    return page(title, _use(kind), contents, *map(section_of, found))


def _first_line(entry: Entry) -> str:
    """The summary, without the number of parameters, which has a column of its own."""
    return entry.doc.partition("\n")[0]


def _sizes(entry: Entry) -> tuple[str, ...]:
    """Parameters and arithmetic of a network; nothing of what is none."""
    if entry.kind != "architecture":
        return ()
    found = layers_of(entry)
    return f"{found.num_parameters:,}", mflops(found.flops)


def _use(kind: Kind) -> str:
    said = f"A factory of kind {code(kind.name)} returns {prose(kind.expected)}."
    if kind.run_field:  # others are held by components, as their gin lines show
        used = f"[@{kind.name}, …]" if kind.is_list else f"@{kind.name}"
        said += f" In a config: {code(f'{ROOT}.{kind.run_field} = {used}')}."
    if kind.injected:
        given = ", ".join(map(code, kind.injected))
        said += f" From the engine, where a factory takes them, and not from a config: {given}."
    return said


def section_of(entry: Entry) -> str:
    """All that its page has of a component; a network is built for it."""
    if entry.kind != "architecture":
        return said_of(entry)
    parts = "Its parts, at an image of 32 x 32 and ten classes:"
    return "\n\n".join([said_of(entry), parts, parts_table(entry)])


def said_of(entry: Entry) -> str:
    """What its source says of a component and its parameters, and how it is used."""
    doc = docstring_of(entry)
    own = parse_docstring(entry.doc).text.split("\n\n")
    parts = [f"## {entry.name}", *map(prose, own), *_preset(entry), picture(entry)]
    if entry.parameters:
        parts += [definitions(_parameters(entry.parameters, doc.arguments))]
    parts += [f"Raises {code(name)}: {prose(said)}" for name, said in doc.errors.items()]
    parts += ["In a config:", block("gin", snippet(entry, entries()))]
    parts += [f"Source: {code(entry.path.relative_to(REPOSITORY).as_posix())}"]
    return "\n\n".join(filter(None, parts))


def _preset(entry: Entry) -> list[str]:
    """What makes it a preset, if it is one."""
    if entry.preset is None:
        return []
    family = entry.preset.family.name
    bound = ", ".join(code(f"{p.name} = {p.default}") for p in entry.preset.bound)
    said = f"A preset of [{code(family)}](#{family})" + f", with {bound}" * bool(bound)
    claim = entry.preset.num_parameters
    return [f"{said}: {claim:,} parameters at 10 classes." if claim else f"{said}."]


def _parameters(parameters: Iterable[Parameter], said: dict[str, str]) -> Iterable[tuple[str, str]]:
    for parameter in parameters:
        name = f"{code(parameter.name)}{{.name}}"
        declared = parameter.type or "Any"
        if parameter.default is None:
            term = f"{name} {code(declared)}{{.type}} *required*"
        else:
            term = f"{name} {code(f'{declared} = {parameter.default}')}{{.type}}"
        if parameter.range:
            term = f"{term} {parameter.range}"
        yield term, prose(said.get(parameter.name, ""))


def settings_page() -> str:
    """What the root ``run`` of a config has."""
    entry = root()
    doc = parse_docstring(entry.doc)
    items = _parameters(entry.parameters, doc.arguments)
    names = [f"{ROOT}-{parameter.name}" for parameter in entry.parameters]
    rows = [(f"[{term}]{{#{name}}}", said) for name, (term, said) in zip(names, items, strict=True)]
    return page(
        "Settings of a run",
        prose(doc.text),
        f"A config sets them as {code(f'{ROOT}.epochs = 200')}, a command line as "
        f"{code(f'-s {ROOT}.epochs=200')}.",
        definitions(rows),
    )
