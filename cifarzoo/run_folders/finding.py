"""Finds the run that a user means, in a folder of runs of any layout."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.folder import (
    CHECKPOINTS,
    CONFIG,
    METRICS,
    RECORD,
    RunFolder,
    check_length,
)

LATEST = "latest"
MOST_FOLDERS = 20_000  # a recipe has one, a published row four; a link to / has a million


def find_run(name: str, root: Path) -> RunFolder:
    """The run that a user means.

    Args:
        name: Name of the run: a path; ``latest``, the one that was written to last; or the start
            of a folder's name or id, or the end of its path, if only one has it.
        root: Folder that runs are in, at any depth.

    Raises:
        UsageError: No run is called so, or more than one.
    """
    path = expanded(name)
    check_length(path)
    if (path / CONFIG).is_file():
        return RunFolder(path)
    if path.is_dir():
        raise UsageError(f"{path} is not the folder of a run: it has no {CONFIG}")
    runs = sorted(runs_in(root), key=_last_written)
    if name == LATEST and runs:
        return RunFolder(runs[-1])
    found = [run for run in runs if _answers_to(run, name)]
    if len(found) == 1:
        return RunFolder(found[0])
    if found:
        these = ", ".join(map(str, found[:3])) + ", …" * (len(found) > 3)
        raise UsageError(f"{len(found)} runs in {root} are called {name!r}: {these}")
    raise UsageError(
        f"no run {name!r} in {root}"
        + (f"; the latest is {runs[-1]}" if runs else ", which has none")
    )


def runs_in(root: Path) -> list[Path]:
    """The folders of runs in ``root``, however deep; none is looked for within another.

    Raises:
        UsageError: There are more folders than anybody keeps runs in.
    """
    found, waiting = [], [root]
    seen: set[tuple[int, int]] = set()
    while waiting:
        folder = waiting.pop()
        with suppress(OSError):  # one that can't be read hides no other
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = {entry.name: entry for entry in os.scandir(folder)}
            if CONFIG in entries and (RECORD in entries or CHECKPOINTS in entries):
                found.append(folder)
                continue
            inside = [name for name, entry in entries.items() if entry.is_dir()]
            waiting += [folder / name for name in inside if not name.startswith(".")]
        if len(seen) - len(found) > MOST_FOLDERS:
            raise UsageError(
                f"{root} has more than {MOST_FOLDERS:,} folders besides runs, with those that its "
                "links lead to; give the run's path, or name the folder of runs by --out"
            )
    return found


def _last_written(run: Path) -> tuple[int, str]:
    """When the run last wrote something, in nanoseconds; runs of one moment go by name."""
    times = [0]
    for name in (RECORD, METRICS, CHECKPOINTS):
        with suppress(OSError):
            times.append((run / name).stat().st_mtime_ns)
    return max(times), run.name


def _answers_to(run: Path, name: str) -> bool:
    identity = run.name.rpartition("-")[2]
    is_end = f"/{run}".endswith(f"/{name}")
    return run.name.startswith(name) or identity.startswith(name) or is_end
