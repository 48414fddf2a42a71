"""What code a package is: one digest over its source files, not over what is built of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = frozenset({".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".py", ".pyx"})


def code_digest(path: Path) -> str:
    """SHA-256 (hex) of the code below ``path``, names and bytes; or of a single file.

    Args:
        path: Folder of a package, or the file of a module.
    """
    sha256 = hashlib.sha256()
    for file in sorted(_sources(path)) if path.is_dir() else [path]:
        sha256.update(f"{file.relative_to(path.parent)}\n".encode())
        sha256.update(file.read_bytes())
    return sha256.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(parent, name) for name in names if Path(name).suffix in SUFFIXES)


def package_of(module: str, path: Path) -> Path:
    """The folder of the outermost package that holds a module, or the module's file.

    Args:
        module: Full name of the module.
        path: Path of its file.
    """
    depth = module.count(".") + (path.name == "__init__.py")
    return path.parents[depth - 1] if depth else path
