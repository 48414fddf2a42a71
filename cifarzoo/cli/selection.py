"""What ``ls`` lists: components and recipes, chosen by kind and by name as users write them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cifarzoo.cli.headers import title
from cifarzoo.components.index import Entry
from cifarzoo.components.kinds import KINDS
from cifarzoo.errors import UsageError

CONFIG = "config"  # what recipes are listed as; no kind of component
BROKEN = "broken"  # what plugins are listed as that can't be used
PLURALS = {kind.name: kind.plural for kind in KINDS.values()} | {CONFIG: "configs"}


@dataclass(frozen=True, kw_only=True)
class Item:
    """A component or a recipe, as it is listed.

    Attributes:
        kind: Kind of the component, ``config``, or ``broken``.
        name: Gin name of the component, file name of the recipe, or origin of the broken plugin.
        doc: First line of its documentation, or why the plugin can't be used.
        origin: Provider: ``cifarzoo``, a distribution or a file.
        source: Place of the definition, ``path:line``, or the recipe's path.
        parameters: Default of each parameter as source text; None where a value is required.
        replaces: Origin of the component of the same name that it overrides; empty: none.
        is_preset: Whether it is another component with settings.
    """

    kind: str
    name: str
    doc: str
    origin: str
    source: str
    parameters: dict[str, str | None]
    replaces: str = ""
    is_preset: bool = False

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


def of_component(entry: Entry) -> Item:
    """A component as an item."""
    return Item(
        kind=entry.kind,
        name=entry.name,
        doc=entry.summary,
        origin=entry.origin,
        source=entry.source,
        parameters={parameter.name: parameter.default for parameter in entry.parameters},
        replaces=entry.overridden.origin if entry.overridden else "",
        is_preset=entry.preset is not None,
    )


def of_recipe(name: str, path: Path) -> Item:
    """A recipe as an item; its doc is the first line of its comment."""
    return Item(
        kind=CONFIG,
        name=name,
        doc=title(path),
        origin="cifarzoo",
        source=str(path),
        parameters={},
    )


def of_broken(origin: str, problem: str) -> Item:
    """A plugin that can't be used as an item; its doc says why."""
    return Item(kind=BROKEN, name=origin, doc=problem, origin=origin, source="", parameters={})


@dataclass(frozen=True)
class Query:
    """What a user asks for.

    Attributes:
        kind: Kind that is listed; None: all kinds of components.
        pattern: Names that are listed: a glob, or the beginning of a word in them; None: all.
        correction: Word that a misspelt one was taken for; None: nothing was misspelt.
    """

    kind: str | None = None
    pattern: str | None = None
    correction: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether all components are asked for."""
        return self.kind is None and self.pattern is None

    def select(self, items: Iterable[Item]) -> list[Item]:
        """Those of ``items`` that are asked for, in the order of kinds, then by name."""
        order = list(PLURALS)
        chosen = [
            item
            for item in items
            if self.kind in (None, item.kind) and is_match(item.name, self.pattern)
        ]
        return sorted(chosen, key=lambda item: (order.index(item.kind), by_number(item.name)))


def by_number(name: str) -> list[tuple[int, int | str]]:
    """A key that puts ``resnet20`` before ``resnet110``, and ``resnet`` before both."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def understand(
    word: str | None, pattern: str | None, *, components: Sequence[str], recipes: Sequence[str]
) -> Query:
    """What is meant by the arguments of ``ls``.

    Args:
        word: A kind (singular, plural, a beginning, in British or American spelling), a glob, a
            name or the beginning of a word in one, or something close to these.
        pattern: Names of the kind ``word``.
        components: Names of all components.
        recipes: Names of all recipes, which a name means where it means no component.

    Raises:
        UsageError: There is no kind, component or recipe like ``word``.
    """
    if word is None or (pattern is None and (_is_glob(word) or word in components)):
        return Query(None, word)
    if kind := _kind(word):
        return Query(kind, pattern)
    known = [*PLURALS.values(), *PLURALS]
    if pattern is None:
        for kind, names in ((None, components), (CONFIG, recipes)):
            if any(is_match(name, word) for name in names):
                return Query(kind, word)
        known += [*components, *recipes]
    for close in difflib.get_close_matches(word.lower(), known, n=1):
        query = understand(close, pattern, components=components, recipes=recipes)
        return replace(query, correction=close)
    what = "kind, component or recipe" if pattern is None else "kind"
    raise UsageError(f"no {what} {word!r}; the kinds are {', '.join(PLURALS.values())}")


def is_match(name: str, pattern: str | None) -> bool:
    """Whether ``pattern`` means ``name``: a glob of all of it, or a word's beginning in it."""
    if pattern is None or _is_glob(pattern):
        return fnmatchcase(name, pattern or "*")
    return re.search(rf"(?:^|[_/]){re.escape(pattern)}", name, re.IGNORECASE) is not None


def _kind(word: str) -> str | None:
    """The kind whose name or plural begins with ``word``, if it is one alone."""
    start = _american(word.lower())
    found = [
        kind
        for kind, plural in PLURALS.items()
        if start and (_american(kind).startswith(start) or _american(plural).startswith(start))
    ]
    return found[0] if len(found) == 1 else None


def _american(word: str) -> str:
    return word.replace("is", "iz")


def _is_glob(text: str) -> bool:
    return any(sign in text for sign in "*?[")
