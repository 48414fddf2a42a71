"""What code a package is: one digest over its source files, not over what is built of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

SUFFIXES = frozenset({".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".py", ".pyx"})


def code_digest(path: Path) -> str:
    """SHA-256 (hex) of the code below ``path``, names and bytes; or of a single file.

    Args:
        path: Folder of a package, or the file of a module.
    """
    files = [file for file in path.rglob("*") if file.suffix in SUFFIXES] if path.is_dir() else []
    sha256 = hashlib.sha256()
    for file in sorted(files) or [path]:
        sha256.update(f"{file.relative_to(path.parent)}\n".encode())
        sha256.update(file.read_bytes())
    return sha256.hexdigest()


def package_of(module: str, path: Path) -> Path:
    """The folder of the outermost package that holds a module, or the module's file.

    Args:
        module: Full name of the module.
        path: Path of its file.
    """
    depth = module.count(".") + (path.name == "__init__.py")
    return path.parents[depth - 1] if depth else path
