"""What a sweep was asked for, as it lies in the folder of its runs: ``sweep.json``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from cifarzoo.errors import UsageError
from cifarzoo.files.real_folder import RealFolder

RECORD = "sweep.json"
SCHEMA = 1
MOST_RECORD = 16 << 20  # bytes
POINTS = "points"


def read_sweep(folder: Path) -> dict[str, Any]:
    """What ``sweep.json`` says; empty: there is none.

    Raises:
        UsageError: It makes no sense, or a newer cifarzoo wrote it.
    """
    path = folder / RECORD
    try:
        found = from_json(RealFolder(folder).read(RECORD, at_most=MOST_RECORD))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}; put back what the sweep wrote") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(found, dict) or not isinstance(found.get("schema"), int):
        raise UsageError(f"{path} is no record of a sweep; put back what the sweep wrote")
    if found["schema"] > SCHEMA:
        raise UsageError(f"{path} was written by a newer cifarzoo (schema {found['schema']})")
    return found


def in_order(runs: list[Path], folder: Path) -> list[Path]:
    """Runs in a folder by their names; those of a sweep in the order in which it was asked for.

    Args:
        runs: Folders of runs, at any depth in ``folder``.
        folder: Folder of a sweep, or any other.
    """
    points: Any = ()
    with suppress(UsageError):  # the runs are there, whatever their sweep's record says
        points = read_sweep(folder).get(POINTS, ())
    places = {str(name): i for i, name in enumerate(points if isinstance(points, list) else ())}

    def place(run: Path) -> tuple[int, Path]:
        name = "".join(run.relative_to(folder).parts[:1])
        return places.get(name, len(places)), run

    return sorted(runs, key=place)
