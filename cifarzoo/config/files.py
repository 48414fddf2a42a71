"""Finds and reads the files of configs: a path, or the name of a packaged recipe."""

from __future__ import annotations

from pathlib import Path

from cifarzoo.components.index import near
from cifarzoo.errors import ConfigError

PACKAGE = Path(__file__).parents[1]
MAX_BYTES = 1 << 18


def recipe_folders() -> list[Path]:
    """Where recipes lie: inside the package, and in a checkout beside it."""
    folders = [PACKAGE / "gin"]
    if (PACKAGE.parent / "pyproject.toml").is_file():
        folders.append(PACKAGE.parent / "gin")
    return [folder for folder in folders if folder.is_dir()]


def recipes() -> dict[str, Path]:
    """The file of every packaged recipe, by the name that commands take."""
    found = {
        path.relative_to(folder).as_posix(): path
        for folder in recipe_folders()
        for path in folder.rglob("*.gin")
    }
    return dict(sorted(found.items()))


def find(name: str | Path, *, beside: Path | None = None) -> Path:
    """The file that ``name`` means.

    Args:
        name: As given: a path, or the name of a recipe.
        beside: Folder of the file that includes it, which comes first.

    Raises:
        ConfigError: There is none.
    """
    folders = list(dict.fromkeys([*([beside] if beside else []), Path(), *recipe_folders()]))
    candidates = [folder / name for folder in folders]
    try:
        for path in candidates:
            if path.is_file():
                return path
        if any(path.is_dir() for path in candidates):
            raise ConfigError(f"{str(name)!r} is a folder; expected a .gin file")
        known = {other.name for path in candidates for other in path.parent.glob("*.gin")}
    except (OSError, ValueError):  # a name that no file can have
        known = set()
    where = ", ".join(str(shown(folder)) for folder in folders)
    raise ConfigError(f"no config {str(name)!r} in {where}{near(Path(name).name, known)}")


def read(path: Path) -> str:
    """The text of the file at ``path``.

    Raises:
        ConfigError: It can't be read, is no text in UTF-8, or is far too long for a config.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise ConfigError(f"{shown(path)}: it cannot be read: {error.strerror}") from error
    if size > MAX_BYTES:
        raise ConfigError(f"{shown(path)}: it has {size} bytes; expected at most {MAX_BYTES}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{shown(path)}:{line}: the byte 0x{content[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8"
        ) from error


def shown(path: Path) -> Path:
    """``path`` as a user knows it: from the current folder, where it is inside."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, OSError):
        return path
