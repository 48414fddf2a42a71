"""Finds the run that a user means, in a folder of runs of any layout."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.folder import (
    CHECKPOINTS,
    CONFIG,
    METRICS,
    RECORD,
    RESOLVED,
    RunFolder,
    check_length,
)
from cifarzoo.run_folders.labels import recorded_name

RUNS = "CIFARZOO_RUNS"
LATEST = "latest"
OF_A_TIME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]+")  # names of folders that cifarzoo chose
MOST_FOLDERS = 20_000  # a recipe has one, a published row four; a link to / has a million


class NoSuchRunError(UsageError):
    """No run is called so."""


def runs_folder(out: str | os.PathLike[str] | None) -> Path:
    """Where the runs are that a caller means; None: ``CIFARZOO_RUNS``, or ``runs``."""
    return expanded((os.environ.get(RUNS) or "runs") if out is None else out)


def find_run(name: str, root: Path) -> RunFolder:
    """The run that a user means.

    Args:
        name: Name of the run: a path, from here or from ``root``; ``latest``, the one that was
            written to last (``FOLDER/latest``: in that folder); its id or folder's name, the end of
            its path, or the name that it was given; or the start of one of these, if only one run
            has it.
        root: Folder that runs are in, at any depth.

    Raises:
        NoSuchRunError: No run is called so.
        UsageError: More than one is, or it is the path of another folder.
    """
    path = expanded(name)
    check_length(path)
    if (path / CONFIG).is_file():
        return RunFolder(path)
    if path.is_dir():
        raise UsageError(f"{path} is not the folder of a run: it has no {CONFIG}")
    if (root / path / CONFIG).is_file():
        return RunFolder(root / path)
    if path.name == LATEST and name != LATEST and path.parent.is_dir():
        return find_run(LATEST, path.parent)
    runs = sorted(runs_in(root), key=_last_written)
    if name == LATEST and runs:
        return RunFolder(runs[-1])
    found = _called(name, runs)
    if len(found) == 1:
        return RunFolder(found[0])
    if found:
        these = ", ".join(map(str, found[:3])) + ", …" * (len(found) > 3)
        raise UsageError(f"{len(found)} runs in {root} are called {name!r}: {these}")
    raise NoSuchRunError(
        f"no run {name!r} in {root}"
        + (f"; the latest is {runs[-1]}" if runs else ", which has none")
    )


def short_ids(runs: Sequence[str], root: Path) -> list[str]:
    """The shortest name by which ``find_run`` finds each of all the runs in ``root``.

    Args:
        runs: Paths of the runs.
        root: Folder that they are in.
    """
    names = [run.rpartition("/")[2] for run in runs]
    counts = Counter(name for its in names for name in {_id(its), its})
    return [
        next((name for name in _short_names(its) if counts[name] == 1), "")
        or str(Path(run).relative_to(root))
        for run, its in zip(runs, names, strict=True)
    ]


def runs_in(root: Path) -> list[Path]:
    """The folders of runs in ``root``, however deep; none is looked for within another.

    A run that links lead to is there once, by its own path if that is in ``root``.

    Raises:
        UsageError: There are more folders than anybody keeps runs in.
    """
    return [Path(run) for run in run_paths(root)]


def run_paths(root: Path) -> list[str]:
    """The same as texts: ten thousand are found in half the time of making them paths.

    Raises:
        UsageError: There are more folders than anybody keeps runs in.
    """
    found: list[str] = []
    waiting, seen = [os.fspath(root)], set[tuple[int, int]]()
    links, has_links = list[str](), False
    while waiting or links:
        folder = (waiting or links).pop()  # links last: a run goes by its own path
        with suppress(OSError):  # one that can't be read, or is gone, hides no other
            if _is_run(folder):
                found.append(folder)
                continue
            place = _place(folder)
            if place in seen:  # a link that leads back
                continue
            seen.add(place)
            with os.scandir(folder) as listed:
                inside = [entry for entry in listed if _is_folder(entry)]
            # As paths have it: no ./ before a name.
            start = "" if folder == os.curdir else f"{folder.rstrip('/')}/"
            for entry in inside:
                if not entry.name.startswith("."):
                    (links if entry.is_symlink() else waiting).append(start + entry.name)
            has_links |= bool(links)
        if len(seen) > MOST_FOLDERS:
            raise UsageError(
                f"{root} has more than {MOST_FOLDERS:,} folders besides runs, with those that its "
                "links lead to; give the run's path, or name the folder of runs by --out"
            )
    return _each_once(found) if has_links else found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that may not be read
        return False


def _each_once(runs: Sequence[str]) -> list[str]:
    """Runs without those that are there under an earlier name."""
    places = dict[tuple[int, int], str]()
    for run in runs:
        with suppress(OSError):
            places.setdefault(_place(run), run)
    return list(places.values())


def _place(folder: str) -> tuple[int, int]:
    """What tells a folder from all others, by whatever path it is reached."""
    status = os.stat(folder)  # noqa: PTH116  # half the time of a Path's
    return status.st_dev, status.st_ino


def _is_run(folder: str) -> bool:
    """Whether a folder has the files of a run: asked by name, in half the time of a listing.

    One that was planned and not begun has its values; a config alone may be anybody's.
    """
    has = os.access  # in two thirds of the time of exists
    return has(f"{folder}/{CONFIG}", os.F_OK) and any(
        has(f"{folder}/{name}", os.F_OK) for name in (RECORD, CHECKPOINTS, RESOLVED)
    )


def _last_written(run: Path) -> tuple[int, str]:
    """When the run last wrote something, in nanoseconds; runs of one moment go by name."""
    times = [0]
    for name in (RECORD, METRICS, CHECKPOINTS):
        with suppress(OSError):
            times.append((run / name).stat().st_mtime_ns)
    return max(times), run.name


def _called(name: str, runs: Sequence[Path]) -> list[Path]:
    """The runs that are called ``name``; where none is, those whose names begin so."""
    exact = [
        run for run in runs if name in (run.name, _id(run.name)) or f"/{run}".endswith(f"/{name}")
    ]
    if len(exact) == 1:
        return exact
    given = {run: recorded_name(run) or "" for run in runs}
    exact += [run for run in runs if given[run] == name and run not in exact]
    return exact or [
        run
        for run in runs
        if any(each.startswith(name) for each in (run.name, _id(run.name), given[run]))
    ]


def _short_names(name: str) -> Iterator[str]:
    if OF_A_TIME.fullmatch(name):
        yield _id(name)
    yield name


def _id(name: str) -> str:
    """The id in the name of a run's folder, behind the time; the whole name if it has none."""
    return name.rpartition("-")[2]
