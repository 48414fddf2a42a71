"""Where components come from: the zoo, installed plugins, single files, and this session.

Finding out what there is runs no plugin's code and imports no torch; ``loading`` imports the
modules of those components that are used, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from cifarzoo.components.annotations import Reading
from cifarzoo.components.code import code_digest, package_of
from cifarzoo.components.index import Entry, scan
from cifarzoo.components.installed_plugins import installed, some
from cifarzoo.components.plugin_files import (
    VARIABLE,
    Plugin,
    check_alone,
    files_of,
    read_plugins,
)
from cifarzoo.components.registry import clash, register
from cifarzoo.components.session import is_of_session, session_entries, source_digest
from cifarzoo.components.spelling import near
from cifarzoo.components.trust import is_known
from cifarzoo.errors import PluginError

__all__ = ["Catalogue", "catalogue", "plugin_provenance"]
ZOO = Path(__file__).parents[1] / "zoo"
INSTALLED = 1  # level of what an installed plugin registers
OURS = "cifarzoo"  # the origin of the zoo's components


@dataclass(frozen=True)
class Catalogue:
    """Every component there is.

    Attributes:
        entries: Components by name.
        broken: What can't be used of installed plugins and of ``CIFARZOO_PLUGINS``: (origin, what
            is wrong).
        files: Plugin files and folders, those of ``CIFARZOO_PLUGINS`` first.
        kept: Those of them that are a run's own copies.
    """

    entries: dict[str, Entry]
    broken: list[tuple[str, str]] = field(default_factory=list)
    files: tuple[Plugin, ...] = ()
    kept: tuple[Plugin, ...] = ()


def catalogue(
    files: Sequence[str | Path] = (), *, kept: Sequence[Path] = (), ask_environment: bool = True
) -> Catalogue:
    """Every component of the zoo, installed plugins, ``CIFARZOO_PLUGINS``, ``files``, this session.

    Args:
        files: Plugin files and folders, such as ``--plugin`` names.
        kept: A run's copies of its own, which are run if this user is known to have run them; one
            of those that are named and is called so takes its place. They may need what older
            versions of cifarzoo didn't keep.
        ask_environment: Whether ``CIFARZOO_PLUGINS`` counts.

    Raises:
        PluginError: A file can't be used, or two components have one name.
    """
    broken: list[tuple[str, str]] = []
    found = [*_zoo(), *installed(broken)]
    variable = _usable(os.environ.get(VARIABLE, "") if ask_environment else "", broken)
    unnamed = {str(Path(text).expanduser()) for text in variable.split(os.pathsep) if text}
    named = {Path(text).name for text in (*variable.split(os.pathsep), *files)}
    copies = [path for path in kept if path.name not in named]
    read = read_plugins([*files, *copies], variable=variable)  # of the same bytes, what is named
    for plugin in read:
        found += _of_copy(plugin) if plugin.path in copies else _of_plugin(plugin)
    found += session_entries()
    entries: dict[str, Entry] = {}
    disabled: set[str] = set()
    for entry in sorted(found, key=lambda entry: entry.override):
        try:
            if entry.override:
                _add_override(entry, entries, broken)
            else:
                _add(entry, entries)
        except PluginError as error:
            if _level(entry) == INSTALLED or str(entry.path) in unnamed:
                broken.append((entry.origin, str(error)))
                if (
                    entry.name in entries and entries[entry.name].origin != OURS
                ):  # of two that nobody named, neither
                    disabled.add(entry.name)
                continue
            if is_of_session(entry):  # or the session could not go on under another name
                register.forget(entry.name)
            raise
    for name in disabled:
        del entries[name]
    return Catalogue(entries, broken, read, tuple(p for p in read if p.path in copies))


def provided() -> dict[str, Entry]:
    """What the zoo and installed plugins give every program, by name; of two the first."""
    entries: dict[str, Entry] = {}
    for entry in (*_zoo(), *installed([])):
        entries.setdefault(entry.name, entry)
    return entries


def _usable(variable: str, broken: list[tuple[str, str]]) -> str:
    """The paths of ``variable`` that can be used; why the others can't is added to ``broken``."""
    usable = []
    for text in filter(None, variable.split(os.pathsep)):
        try:
            for plugin in read_plugins([], variable=text):
                _of_plugin(plugin)
        except PluginError as error:
            broken.append((f"{VARIABLE}: {text}", str(error).removeprefix(f"{VARIABLE}: ")))
        else:
            usable.append(text)
    return os.pathsep.join(usable)


def plugin_provenance(entries: Iterable[Entry]) -> list[dict[str, str]]:
    """What of these components isn't cifarzoo's own, to be recorded with a run.

    Returns:
        For each plugin its ``origin``, name and version of a distribution, with the ``sha256`` of
        its package's code; or a file, then with its ``path`` and ``sha256``. For each component
        of a script or notebook its ``__main__.name``, with the ``sha256`` of its source where
        that can be found.
    """
    used: dict[str, dict[str, str]] = {}
    for entry in entries:
        if entry.origin == OURS:
            continue
        if is_of_session(entry):
            origin, sha256 = f"{entry.module}.{entry.name}", source_digest(entry)
            used[origin] = {"origin": origin} | ({"sha256": sha256} if sha256 else {})
            continue
        if entry.file:
            plugin = entry.file.plugin
            its_code = {"path": str(plugin.path.resolve()), "sha256": plugin.sha256}
        else:
            its_code = {"sha256": code_digest(package_of(entry.module, entry.path))}
        used[entry.origin] = {"origin": entry.origin, **its_code}
    return [used[origin] for origin in sorted(used)]


def _add(entry: Entry, entries: dict[str, Entry]) -> None:
    old = entries.setdefault(entry.name, entry)
    if not _same(old, entry):
        raise PluginError(clash(entry.source, entry.name, old.kind, old.source))


def _add_override(entry: Entry, entries: dict[str, Entry], broken: list[tuple[str, str]]) -> None:
    old = entries.get(entry.name)
    if old is None:
        problem = f"nothing named {entry.name!r} to override{near(entry.name, entries)}"
    elif _same(old, entry):
        return
    elif old.kind != entry.kind:
        theirs = f"a component of kind {old.kind} ({old.source})"
        problem = f"{entry.name!r} is of kind {entry.kind} and overrides {theirs}"
    elif old.override and _level(old) == _level(entry):
        problem = f"{entry.name!r} is overridden at {old.source} too; use one of them"
        raise PluginError(f"{entry.source}: {problem}")
    else:
        entries[entry.name] = replace(entry, overridden=old)
        return
    if _level(entry) != INSTALLED:
        raise PluginError(f"{entry.source}: {problem}")
    broken.append((entry.origin, f"{entry.source}: {problem}"))


def _same(a: Entry, b: Entry) -> bool:
    """Whether both are one definition, found under two module names."""
    return a is b or (a.line == b.line and a.path.resolve() == b.path.resolve())


def _level(entry: Entry) -> int:
    """Who may override whom: a file an installed plugin, and both the zoo (0)."""
    is_single = entry.file is not None or is_of_session(entry)
    return INSTALLED + 1 if is_single else INSTALLED * (entry.origin != OURS)


@cache  # reading it is most of what checking a config takes, and commands check many
def _zoo() -> tuple[Entry, ...]:
    found: list[Entry] = []
    for path in sorted(ZOO.rglob("*.py")):
        parts = path.relative_to(ZOO.parent).with_suffix("").parts
        found += scan(path, ".".join([OURS, *parts]).removesuffix(".__init__"), OURS)
    return tuple(found)


def _of_copy(plugin: Plugin) -> list[Entry]:
    """The components of a run's own copy of a plugin, whoever made that run."""
    is_trusted = is_known(plugin)
    return [replace(entry, is_trusted=is_trusted) for entry in _of_plugin(plugin, is_copy=True)]


@cache  # by its bytes: what several configs of a process name is taken apart once
def _of_plugin(plugin: Plugin, *, is_copy: bool = False) -> tuple[Entry, ...]:
    reading = Reading()
    found: list[Entry] = []
    for file in files_of(plugin):
        is_alone = file.folder is None and not is_copy
        entries = scan(
            file.path,
            file.module,
            str(plugin.path),
            content=file.content,
            reading=reading,
            check=partial(check_alone, file) if is_alone else None,
        )
        found += (replace(entry, file=file) for entry in entries)
    return tuple(some(found, str(plugin.path)))
