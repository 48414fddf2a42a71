"""From templates to the files of a plugin, which are written whole or not at all."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cifarzoo.errors import UsageError
from cifarzoo.scaffolding.names import check_kind, check_name

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, kw_only=True)
class NewPlugin:
    """The files of a plugin that was written.

    Attributes:
        plugin: File that registers the component.
        config: Config that uses it.
        test: Tests of it.
        others: Files that make it a package.
    """

    plugin: Path
    config: Path
    test: Path
    others: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.plugin, self.config, self.test, *self.others)


def write_plugin(kind: str, name: str, folder: Path, *, is_package: bool) -> NewPlugin:
    """Write a new plugin with one component.

    Args:
        kind: Kind of the component.
        name: Name of the component.
        folder: Folder for the files, or for the folder of the package; it is made if it is missing.
        is_package: Whether it is a package to be installed, and not a file.

    Raises:
        UsageError: The kind or the name can't be used, a file is there, or can't be written.
    """
    check_kind(kind)
    check_name(name, words=_words(_template(f"{kind}.py")))
    files = _of_package(kind, name) if is_package else _of_file(kind, name)
    plugin, config, test, *others = _write({folder / path: text for path, text in files.items()})
    return NewPlugin(plugin=plugin, config=config, test=test, others=tuple(others))


def _of_file(kind: str, name: str) -> dict[str, str]:
    """The texts of a plugin that is a file, by path."""
    return {
        f"{name}.py": _named(f"{kind}.py", kind, name),
        f"{name}.gin": _named(f"{kind}.gin", kind, name),
        f"test_{name}.py": _named(f"test_{kind}.py", kind, name),
    }


def _of_package(kind: str, name: str) -> dict[str, str]:
    """The texts of a plugin that is a package, by path."""
    dashed, package = name.replace("_", "-"), f"cifarzoo_{name}"
    plugin, config, test = _of_file(kind, name).values()
    test = test.replace(f"from {name} import", f"from {package}.{name} import")
    test = re.sub(rf',\s+plugin="{name}\.py"', "", test)
    shared = {
        path: _template(path).replace("DASHED", dashed).replace("NAME", name).replace("KIND", kind)
        for path in ("pyproject.toml", "README.md")
    }
    files = {
        f"src/{package}/{name}.py": plugin,
        f"{name}.gin": config.replace(f" -p {name}.py", ""),
        f"tests/test_{name}.py": test,
        f"src/{package}/__init__.py": f'"""The {kind} {name}, for cifarzoo."""\n',
        **shared,
    }
    return {f"cifarzoo-{dashed}/{path}": text for path, text in files.items()}


def _template(path: str) -> str:
    return (TEMPLATES / path).read_text(encoding="utf-8")


def _named(path: str, kind: str, name: str) -> str:
    """A template whose component is called ``name``."""
    title = "".join(word.capitalize() for word in name.split("_"))
    text = _template(path).replace(f"my_{kind}", name)
    return text.replace(f"My{kind.capitalize()}", title)


def _words(source: str) -> set[str]:
    """The names that a file of Python binds or looks up, which its component would hide."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.alias(name=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
    return found


def _write(texts: Mapping[Path, str]) -> list[Path]:
    """Write new files; where one can't be written, what was written is taken away again.

    Raises:
        UsageError: A file is there, or can't be written.
    """
    written: list[Path] = []
    made: list[Path] = []
    try:
        for path in texts:
            if os.path.lexists(path):
                raise UsageError(f"{path} is already there; pick another name or another --out")
        for path, text in texts.items():
            _make_folder(path.parent, made)
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        _take_away(written, made)
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return written


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Make a folder, and those above it that are missing; what was made is added to ``made``."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir()
        made.append(each)


def _take_away(files: list[Path], folders: list[Path]) -> None:
    with suppress(OSError):  # somebody has put something there
        for path in reversed(files):
            path.unlink()
        for folder in reversed(folders):
            folder.rmdir()
