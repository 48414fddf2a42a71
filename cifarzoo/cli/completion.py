"""What the shell offers after <TAB>: recipes, components, kinds and settings.

A completion that fails says nothing: the shell has no place for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import CifarzooError
from cifarzoo.escaping import visible_line

if TYPE_CHECKING:
    from cifarzoo.components.index import Entry

MAX_RUNS = 200  # that are offered; what isn't kept of them is read
MAX_TITLES = 500  # files at hand that are opened for their first lines
NO_SYNTAX = dict.fromkeys(map(ord, "\\\"'$`"))
Offer = tuple[str, str]  # what is typed, and what it means


def configs(incomplete: str) -> list[Offer]:
    """Recipes with their first comment line, and the .gin files and folders at hand."""
    from cifarzoo.cli.headers import title
    from cifarzoo.config import recipes

    offers = {name: title(path) for name, path in recipes().items()}
    start = incomplete.rpartition(os.sep)[2]
    folder = incomplete.removesuffix(start)
    try:
        place = expanded(folder)
    except CifarzooError:  # of no user
        return []
    found = sorted(place.glob(f"{start}*")) if place.is_dir() else []
    for path in found:
        typed = f"{folder}{path.name}"
        if path.suffix == ".gin" and path.is_file():  # no pipe, which would be waited for
            offers[typed] = title(path) if len(found) <= MAX_TITLES else ""
        elif path.is_dir() and not path.name.startswith("."):
            offers.setdefault(f"{typed}{os.sep}", "")
    return _starting(offers.items(), incomplete)


def components(incomplete: str) -> list[Offer]:
    """Components with the first line of their docstrings."""
    return _starting(((entry.name, entry.summary) for entry in _entries()), incomplete)


def runs(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Runs of the folder of runs: ``latest``, names and ids, the newest first, and folders."""
    from cifarzoo.results.run_list import newest_runs

    if os.sep in incomplete:
        return _folders(incomplete)
    try:
        found = newest_runs(ctx.params.get("out") or Path("runs"), MAX_RUNS)
    except (CifarzooError, OSError):
        return []
    offers = {"latest": "the run that was written to last"} if found else {}
    for run in found:
        offers |= {name: run.in_a_line for name in (run.id, run.name) if name}
    return _starting(offers.items(), incomplete)


def configs_and_runs(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """What ``compare`` takes."""
    return configs(incomplete) + runs(ctx, incomplete)


def everything(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """What ``show`` takes."""
    return components(incomplete) + configs(incomplete) + runs(ctx, incomplete)


def kinds_and_components(incomplete: str) -> list[Offer]:
    """What ``ls`` takes first."""
    from cifarzoo.components.kinds import KINDS

    offers = [(kind.plural, f"every {kind.name}") for kind in KINDS.values()]
    kinds = _starting([*offers, ("configs", "every recipe")], incomplete)
    return kinds + components(incomplete)


def kinds(incomplete: str) -> list[Offer]:
    """What ``new`` takes first."""
    from cifarzoo.components.kinds import KINDS

    return _starting(((name, kind.expected) for name, kind in KINDS.items()), incomplete)


def rows(incomplete: str) -> list[Offer]:
    """Published rows, as TABLE/ROW, with what was trained; tables before their rows."""
    from cifarzoo.results.tables import tables

    found = tables().values()
    offers = [(table.name, table.title) for table in found]
    offers += [(row.path, row.model) for table in found for row in table.rows.values()]
    return _starting(offers, incomplete)


def settings(incomplete: str) -> list[Offer]:
    """``NAME.parameter=`` of every component and of ``run``, with the parameter's default."""
    from cifarzoo.components.index import root

    offers = (
        (f"{entry.name}.{parameter.name}=", parameter.default or "required")
        for entry in [root(), *_entries()]
        for parameter in entry.parameters
    )
    return _starting(offers, incomplete)


def _folders(incomplete: str) -> list[Offer]:
    """The folders at hand whose paths begin with what was typed."""
    start = incomplete.rpartition(os.sep)[2]
    folder = incomplete.removesuffix(start)
    try:
        place = expanded(folder)
        found = [path for path in islice(place.iterdir(), MAX_TITLES) if path.is_dir()]
    except (CifarzooError, OSError):
        return []
    offers = ((f"{folder}{path.name}{os.sep}", "") for path in sorted(found))
    return _starting(offers, incomplete)


def _entries() -> list[Entry]:
    from cifarzoo.components.plugins import catalogue

    try:
        return list(catalogue().entries.values())
    except CifarzooError:
        return []


def _starting(offers: Iterable[Offer], incomplete: str) -> list[Offer]:
    """Those that begin with what was typed, without what a shell would run or a terminal obey.

    zsh evaluates what it is offered, and the quoting that it gets knows no backslash.
    """
    return [
        (typed, visible_line(meaning).translate(NO_SYNTAX))
        for typed, meaning in offers
        if typed.startswith(incomplete) and typed == visible_line(typed).translate(NO_SYNTAX)
    ]
