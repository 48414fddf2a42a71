"""Plugins that are folders: read once and whole, so that what was scanned is what is kept.

Left out is what isn't part of a plugin: runs, data, caches, whatever is hidden.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cifarzoo.errors import PluginError
from cifarzoo.files.real_folder import read_regular

MAX_BYTES = 20 * 2**20
MAX_FILES = 5_000
LEFT_OUT = frozenset({"runs", "data", "__pycache__", "node_modules"})  # folders; hidden ones too
MOVE = "move what is no part of the plugin elsewhere"
OF_A_RUN = frozenset({"config.gin", "run.json"})


@dataclass(frozen=True)
class PluginFolder:
    """A plugin folder as it was read.

    Attributes:
        path: Path of the folder, as it was named.
        module: Private name of the package that its files are modules of.
        sha256: SHA-256 (hex) of the names and bytes of its files.
        files: Bytes of each file by its path in the folder, with ``/``.
    """

    path: Path
    module: str
    sha256: str
    files: tuple[tuple[str, bytes], ...] = field(repr=False, compare=False)

    def module_of(self, name: str) -> str:
        """The private name of the module that is the file ``name`` of the folder."""
        *folders, last = name.removesuffix(".py").split("/")
        return ".".join([self.module, *folders, *([] if last == "__init__" else [last])])


def read_folder(path: Path, module: str) -> PluginFolder:
    """Read a plugin folder whole.

    Args:
        path: Path of the folder.
        module: Private name of the package that its files are modules of.

    Raises:
        PluginError: It can't be read, is larger than a run can keep, or holds links to folders.
    """
    try:
        found = dict(sorted(_files(path)))
        size = sum(file.stat().st_size for file in found.values())
        if size > MAX_BYTES:
            raise PluginError(
                f"{path} has {size / 2**20:,.0f} MB, and each run keeps a plugin folder whole; "
                f"expected at most {MAX_BYTES // 2**20} MB beside runs/, data/ and caches; {MOVE}"
            )
        files = tuple((name, read_regular(file, at_most=MAX_BYTES)) for name, file in found.items())
    except OSError as error:
        raise PluginError(f"{error.filename}: it cannot be read: {error.strerror}") from error
    return PluginFolder(path, module, _digest(files), files)


def not_covered(folder: PluginFolder) -> str:
    """A file in a plugin folder that its digest doesn't cover; nothing: there is none.

    The copy that a run keeps has none, and its code could read or import one.
    """
    covered = {name for name, _ in folder.files}
    for found in folder.path.rglob("*"):
        name = found.relative_to(folder.path).as_posix()
        if name not in covered and (found.is_symlink() or not found.is_dir()):
            return name
    return ""


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """The files that belong to a plugin, by their paths in its folder."""
    left = MAX_FILES
    for folder, inside, names in os.walk(path, onerror=_fail):
        here = Path(folder)
        left -= len(inside) + len(names)
        if left < 0:
            raise PluginError(
                f"{path} has more than {MAX_FILES:,} files, and each run keeps a plugin folder "
                f"whole; expected at most so many beside runs/, data/ and caches; {MOVE}"
            )
        inside[:] = sorted(name for name in inside if _belongs(here / name))
        for name in inside:
            if (here / name).is_symlink():
                raise PluginError(
                    f"{here / name} is a link to a folder; expected its files in {path}, which a "
                    "run keeps"
                )
        for name in names:
            if not name.startswith(".") and not name.endswith(".pyc") and (here / name).is_file():
                yield (here / name).relative_to(path).as_posix(), here / name


def _belongs(folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name in LEFT_OUT:
        return False
    return not all((folder / name).exists() for name in OF_A_RUN)


def _fail(error: OSError) -> None:
    raise error


def _digest(files: tuple[tuple[str, bytes], ...]) -> str:
    sha256 = hashlib.sha256()
    for name, content in files:
        sha256.update(f"{len(content)} {name}\n".encode())
        sha256.update(content)
    return sha256.hexdigest()
