"""Plugins that are named by their paths: found, and read once, so that what was scanned is run."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from cifarzoo.components.annotations import PLUGIN
from cifarzoo.components.plugin_folders import PluginFolder, read_folder
from cifarzoo.components.python_source import read
from cifarzoo.components.spelling import closest
from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import PluginError, UsageError

VARIABLE = "CIFARZOO_PLUGINS"


@dataclass(frozen=True)
class PluginFile:
    """A plugin file as it was read, or a file of a plugin folder.

    Attributes:
        path: Path of the file, as it was named.
        module: Private name of the module that it is run as.
        content: Bytes of the file.
        folder: Plugin folder that it is part of; None: it is a plugin by itself.
    """

    path: Path
    module: str
    content: bytes = field(repr=False)
    folder: PluginFolder | None = field(default=None, repr=False)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the bytes."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def plugin(self) -> Plugin:
        """The plugin that a run keeps for it: its folder, or itself."""
        return self.folder or self


Plugin: TypeAlias = PluginFile | PluginFolder  # each with its ``path``, ``module``, ``sha256``


def read_plugins(paths: Sequence[str | Path], *, variable: str) -> tuple[Plugin, ...]:
    """The plugins that are named; one that is there twice, or copied, counts once.

    Args:
        paths: Paths of files and folders, such as ``--plugin`` names.
        variable: Value of ``CIFARZOO_PLUGINS``, whose plugins come first.

    Raises:
        PluginError: One isn't there, or can't be read.
    """
    found: dict[str, Plugin] = {}
    taken: dict[str, int] = {}
    for path in _paths(paths, variable):
        stem = path.resolve().name if path.is_dir() else path.stem
        number = taken.get(stem, 0) + 1
        module = f"{PLUGIN}{stem.replace('.', '_')}" + (f"_{number}" if number > 1 else "")
        read: Plugin
        if path.is_dir():
            read = read_folder(path, module)
        else:
            read = PluginFile(path, module, _content(path))
        if read.sha256 not in found:
            found[read.sha256] = read
            taken[stem] = number
    return tuple(found.values())


def files_of(plugin: Plugin) -> Iterator[PluginFile]:
    """The files of a plugin that may register components."""
    if isinstance(plugin, PluginFile):
        yield plugin
        return
    for name, content in plugin.files:
        if name.endswith(".py") and b"register" in content:
            yield PluginFile(plugin.path / name, plugin.module_of(name), content, plugin)


def check_alone(file: PluginFile, tree: ast.Module) -> None:
    """Refuse a file that needs more than itself, since a run keeps itself alone.

    What it opens by other paths than those beside it can't be seen here.

    Args:
        file: File that is a plugin by itself.
        tree: Syntax tree of the file.

    Raises:
        PluginError: It imports what lies beside it, or looks there by ``__file__``.
    """
    found = [
        (getattr(node, "lineno", 0), needs)
        for node in ast.walk(tree)
        if (needs := _needs(node, file.path))
    ]
    if found:
        line, needs = min(found)
        raise PluginError(
            f"{file.path}:{line}: it {needs}, and a run keeps this file alone; name its folder "
            f"instead, which is kept whole: -p {file.path.parent}"
        )


def _needs(node: ast.AST, path: Path) -> str:
    """What ``node`` needs beside the file that it is in, in words; empty: nothing."""
    match node:
        case ast.Name(id="__file__"):
            return "looks beside itself by __file__"
        case ast.ImportFrom(level=level) if level:
            return "imports from its own package"
        case ast.ImportFrom(module=str(name)) if _is_beside(path, name):
            return f"imports {name}, which lies beside it"
        case ast.Import(names=aliases):
            names = [alias.name for alias in aliases if _is_beside(path, alias.name)]
            return f"imports {names[0]}, which lies beside it" if names else ""
    return ""


def _is_beside(path: Path, name: str) -> bool:
    """Whether importing ``name`` would find what lies in the folder of ``path``, or nothing."""
    top = name.partition(".")[0]
    if top == __name__.partition(".")[0]:  # a checkout's own folder
        return False
    beside = (path.with_name(f"{top}.py"), path.with_name(top) / "__init__.py")
    if not any(each.is_file() for each in beside):
        return False
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return True
    origin = spec.origin if spec is not None else None
    return origin is None or Path(origin).resolve() in {each.resolve() for each in beside}


def _paths(files: Sequence[str | Path], variable: str) -> Iterator[Path]:
    named = [(text, f"{VARIABLE}: ") for text in variable.split(os.pathsep)]
    named += [(str(file), "") for file in files]
    for text, prefix in named:
        if not text:
            continue
        try:
            path = expanded(text)
        except UsageError as error:
            raise PluginError(f"{prefix}{error}") from None
        if not _is_there(path):
            beside = {other.name: other for other in path.parent.glob("*.py")}
            close = closest(path.name, beside)
            meant = f"; did you mean {beside[close]}?" if close else ""
            raise PluginError(f"{prefix}no plugin file {text!r}{meant}")
        yield path


def _is_there(path: Path) -> bool:
    try:
        return path.is_file() or path.is_dir()
    except OSError:  # a name that no file can have
        return False


def _content(path: Path) -> bytes:
    try:
        return read(path)
    except OSError as error:
        raise PluginError(f"{path}: it cannot be read: {error.strerror}") from error
