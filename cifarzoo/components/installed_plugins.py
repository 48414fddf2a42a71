"""Installed plugins: found by their entry points, and read without being imported."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from cifarzoo.components.annotations import Reading
from cifarzoo.components.index import Entry, scan
from cifarzoo.components.kinds import KINDS
from cifarzoo.components.python_source import MAX_SEARCHED, read
from cifarzoo.errors import PluginError

GROUP = "cifarzoo.plugins"
MAX_FILES = 20_000  # of a package that is searched for components; torch has 14,000
MAX_COMPONENTS = 2_000  # of a plugin; timm has 1,300 networks


def installed(broken: list[tuple[str, str]]) -> Iterator[Entry]:
    """The components of installed plugins; what can't be used is added to ``broken``."""
    for point in sorted(entry_points(group=GROUP), key=lambda point: (_origin(point), point.name)):
        try:
            yield from _installed(point)
        except PluginError as error:
            broken.append((_origin(point), str(error)))


def some(entries: list[Entry], where: str) -> list[Entry]:
    """The components of a plugin.

    Raises:
        PluginError: There are none, or too many.
    """
    if not entries:
        raise PluginError(
            f"{where}: it registers no component; expected @register.<kind> on a top-level def "
            f"or class, the kind one of {', '.join(KINDS)}"
        )
    if len(entries) > MAX_COMPONENTS:
        many = f"it registers {len(entries):,} components"
        raise PluginError(f"{where}: {many}; expected at most {MAX_COMPONENTS:,} of a plugin")
    return entries


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.name


def _installed(point: EntryPoint) -> list[Entry]:
    """The components of an installed plugin; those of a module or of a whole package."""
    try:
        module = point.module
    except (AttributeError, AssertionError, ValueError):  # each Python has its own
        its = f"the entry point {point.name!r} is {point.value!r}"
        raise PluginError(f"{its}; expected the name of a module") from None
    files = _source_files(module)
    if not files:
        raise PluginError(f"the module {module!r} of entry point {point.name!r} isn't there")
    reading = Reading()
    entries = [
        entry
        for path, name in files
        if b"register" in (content := _searched(path))
        for entry in scan(path, name, _origin(point), content, reading=reading)
    ]
    return some(entries, module)


def _searched(path: Path) -> bytes:
    """The bytes of a file that may register components."""
    try:
        return read(path, at_most=MAX_SEARCHED)
    except OSError as error:
        raise PluginError(f"{path}: it cannot be read: {error.strerror}") from error


def _source_files(module: str) -> list[tuple[Path, str]]:
    """The files of ``module``, or of all below it, with their module names; imports nothing.

    Raises:
        PluginError: There are too many.
    """
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)  # a dotted name would import its parents
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if not spec.submodule_search_locations:
        return [(Path(spec.origin), module)] if spec.has_location and spec.origin else []
    for base in (Path(root, *rest) for root in spec.submodule_search_locations):
        if rest and base.with_suffix(".py").is_file():
            return [(base.with_suffix(".py"), module)]
        if base.is_dir():
            return [(path, _below(module, path.relative_to(base))) for path in _below_it(base)]
    return []


def _below_it(package: Path) -> Iterator[Path]:
    """The files of Python in a package."""
    left = MAX_FILES
    for folder, inside, names in os.walk(package):
        left -= len(inside) + len(names)
        if left < 0:
            raise PluginError(
                f"{package} has more than {MAX_FILES:,} files; expected at most so many; name the "
                "module in it that registers components as the entry point"
            )
        paths = (Path(folder, name) for name in sorted(names) if name.endswith(".py"))
        yield from (path for path in paths if path.is_file())


def _below(module: str, path: Path) -> str:
    return ".".join([module, *path.with_suffix("").parts]).removesuffix(".__init__")
