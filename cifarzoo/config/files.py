"""Finds and reads the files of configs: a path, or the name of a packaged recipe."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from cifarzoo.components.spelling import near
from cifarzoo.components.user_paths import expanded
from cifarzoo.config.limits import MAX_BYTES
from cifarzoo.errors import ConfigError, UsageError

PACKAGE = Path(__file__).parents[1]
SUFFIX = ".gin"
BASES = "bases"  # folder of what recipes share: to be included, and no recipe by itself
STDIN = "<stdin>"


def recipe_folders() -> list[Path]:
    """Where recipes lie: inside the package, and in a checkout beside it."""
    folders = [PACKAGE / "gin"]
    if (PACKAGE.parent / "pyproject.toml").is_file():
        folders.append(PACKAGE.parent / "gin")
    return [folder for folder in folders if folder.is_dir()]


def recipes() -> dict[str, Path]:
    """The file of every packaged recipe, by the name that commands take; files of ``bases`` aside.

    The name is that of the file, or its path below the folder of recipes where several have it.
    """
    found = {name: path for name, path in _packaged().items() if not name.startswith(f"{BASES}/")}
    bare = Counter(path.name for path in found.values())
    named = {path.name if bare[path.name] == 1 else name: path for name, path in found.items()}
    return dict(sorted(named.items()))


def find_config(name: str | Path, *, beside: Path | None = None) -> Path:
    """The file that ``name`` means.

    It is looked for in the folder of the file that includes it, in the current folder, and among
    the packaged recipes: by its path there, or by its bare name in any of their folders. What a
    packaged recipe includes is packaged too, whatever lies in the current folder.

    Args:
        name: A path, or the name of a recipe; ``.gin`` may be left out.
        beside: Folder of the file that includes it, or None.

    Raises:
        ConfigError: There is none, or several recipes have that name.
    """
    try:
        wanted = [str(expanded(name))]
    except UsageError as error:
        raise ConfigError(str(error)) from None
    if not wanted[0].endswith(SUFFIX):
        wanted.append(f"{wanted[0]}{SUFFIX}")
    own = list(dict.fromkeys(_own_folders(beside)))
    try:
        for path in (folder / each for folder in own for each in wanted):
            if path.is_file() or _is_given(path):
                return path
    except (OSError, ValueError):  # a name that no file can have
        own = []
    found = _packaged_as(wanted)
    if len(found) == 1:
        return found[0]
    if found:
        these = " or ".join(str(displayed(path)) for path in found)
        raise ConfigError(f"{str(name)!r} may be {these}; give the path of one of them")
    if any((folder / name).is_dir() for folder in own):
        raise ConfigError(f"{str(name)!r} is a folder; expected a .gin file")
    raise ConfigError(_not_found(str(name), own, _packaged()))


def _is_given(path: Path) -> bool:
    """Whether a shell gave ``path`` for a pipe; a named one would wait for whoever writes to it."""
    return path.parts[:2] == ("/", "dev") and path.exists() and not path.is_dir()


def packaged_recipe(name: str) -> Path:
    """The file of the packaged recipe called ``name``, whatever lies in the current folder.

    Raises:
        ConfigError: There is none.
    """
    found = _packaged_as([name])
    if len(found) != 1:
        raise ConfigError(f"no packaged recipe {name!r}{near(name, recipes())}")
    return found[0]


def hides_recipe(path: Path, name: str | Path) -> bool:
    """Whether ``path``, found by ``name``, stands in the way of a packaged recipe of that name."""
    if str(name).startswith(f".{os.sep}"):  # which nobody writes who means a recipe
        return False
    folders = [folder.resolve() for folder in recipe_folders()]
    is_packaged = any(path.resolve().is_relative_to(folder) for folder in folders)
    return not is_packaged and bool(_packaged_as([str(name), f"{name}{SUFFIX}"]))


def _packaged_as(names: Sequence[str]) -> list[Path]:
    """The packaged files that one of ``names`` means."""
    return [path for place, path in _packaged().items() if {place, path.name} & set(names)]


def _own_folders(beside: Path | None) -> Iterator[Path]:
    """Where files that aren't packaged may be meant by a name."""
    if beside is not None:
        yield beside
    folders = [folder.resolve() for folder in recipe_folders()]
    if beside is None or not any(beside.resolve().is_relative_to(folder) for folder in folders):
        yield Path()


def _packaged() -> dict[str, Path]:
    """Every packaged .gin file by its path below the folder of recipes."""
    return {
        path.relative_to(folder).as_posix(): path
        for folder in reversed(recipe_folders())
        for path in sorted(folder.rglob(f"*{SUFFIX}"))
    }


def _not_found(name: str, own: Sequence[Path], packaged: Mapping[str, Path]) -> str:
    known = {path.name for path in packaged.values()}
    with suppress(OSError, ValueError):  # of a folder that is none
        known |= {path.name for each in own for path in (each / name).parent.glob(f"*{SUFFIX}")}
    if not name.endswith(SUFFIX):
        known = {known_name.removesuffix(SUFFIX) for known_name in known}
    where = ", ".join(str(displayed(folder)) for folder in (*own, *recipe_folders()))
    return f"no config {name!r} in {where}{near(Path(name).name, known)}"


def read(path: Path) -> str:
    """The text of the file at ``path``.

    Raises:
        ConfigError: It can't be read, is no text in UTF-8, or is far too long for a config.
    """
    try:
        with path.open("rb") as file:
            return _text(file, str(displayed(path)))
    except OSError as error:
        raise ConfigError(f"{displayed(path)}: it cannot be read: {error.strerror}") from error


def standard_input() -> str:
    """The text that this process is given by a pipe or a terminal.

    Raises:
        ConfigError: See ``read``.
    """
    try:
        return _text(sys.stdin.buffer, STDIN)
    except (OSError, AttributeError, ValueError) as error:  # closed, or none at all
        raise ConfigError(f"{STDIN}: it cannot be read: {error}") from error


def _text(file: BinaryIO, shown: str) -> str:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{shown}: it has more than {MAX_BYTES} bytes; expected at most so many")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{shown}:{line}: the byte 0x{content[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8"
        ) from error


def displayed(path: Path) -> Path:
    """``path`` as a user knows it: from the current folder, where it is inside."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, OSError):
        return path
