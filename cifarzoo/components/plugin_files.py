"""Plugins that are single files: found, and read once, so that what was scanned is what runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cifarzoo.components.spelling import near
from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import PluginError, UsageError

VARIABLE = "CIFARZOO_PLUGINS"
MODULE = "cifarzoo_plugin_"  # + stem: the module that a plugin file is imported as


@dataclass(frozen=True)
class PluginFile:
    """A plugin file as it was read.

    Attributes:
        path: Path of the file, as it was named.
        module: Private name of the module that it is run as.
        content: Bytes of the file.
    """

    path: Path
    module: str
    content: bytes = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the bytes."""
        return hashlib.sha256(self.content).hexdigest()


def plugin_files(files: Sequence[str | Path], *, variable: str) -> tuple[PluginFile, ...]:
    """The plugin files that are named; one that is there twice, or copied, counts once.

    Args:
        files: Paths, such as ``--plugin`` names.
        variable: Value of ``CIFARZOO_PLUGINS``, whose files come first.

    Raises:
        PluginError: A file isn't there, or can't be read.
    """
    found: dict[bytes, Path] = {}
    for path in _paths(files, variable):
        found.setdefault(_content(path), path)
    taken: dict[str, int] = {}
    read = []
    for content, path in found.items():
        number = taken[path.stem] = taken.get(path.stem, 0) + 1
        module = f"{MODULE}{path.stem}" + (f"_{number}" if number > 1 else "")
        read.append(PluginFile(path, module, content))
    return tuple(read)


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
        if path.is_dir():
            raise PluginError(f"{prefix}{text} is a folder; a plugin is a .py file, or installed")
        if not path.is_file():
            beside = [str(other) for other in path.parent.glob("*.py")]
            raise PluginError(f"{prefix}no plugin file {text!r}{near(str(path), beside)}")
        yield path


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PluginError(f"{path}: it cannot be read: {error.strerror}") from error
