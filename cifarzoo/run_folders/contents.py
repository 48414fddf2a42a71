"""What lies in a run's folder: the files that the run wrote, with their sizes, and what it didn't.

Files are told by where they lie and what they are called, as ``KINDS`` has it. What a run did not
write is never taken away with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.files.real_folder import FILE, FOLDER, RealFolder, is_leftover
from cifarzoo.run_folders.folder import (
    CHECKPOINTS,
    CONFIG,
    KINDS,
    LOCK,
    MANIFEST,
    OF_A_STEP,
    PLUGINS,
    RECORD,
    STATE,
    TENSORBOARD,
    UNFINISHED,
    RunFolder,
)

EVENTS = "events.out.tfevents."  # begins the names of TensorBoard's files
LAST = (RECORD, CONFIG, LOCK)  # until these are gone, it is a run's folder, and can be removed
MOST_NAMED = 3  # files in a message


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What lies in a run's folder.

    Attributes:
        files: Bytes of each file that the run wrote, by its path in the folder.
        folders: Paths of the folders that the run made, those within others behind them.
        others: Paths of what the run did not write.
    """

    files: Mapping[str, int]
    folders: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all that the run wrote."""
        return sum(self.files.values())

    def checkpoints(self) -> dict[int, int]:
        """Bytes of each checkpoint, by its step."""
        sizes: dict[int, int] = {}
        for path, size in self.files.items():
            parts = path.split("/")
            if parts[0] == CHECKPOINTS and (step := OF_A_STEP.fullmatch(parts[1])):
                sizes[int(step[1])] = sizes.get(int(step[1]), 0) + size
        return dict(sorted(sizes.items()))


def contents(run: Path) -> Contents:
    """What lies in the folder of a run.

    Raises:
        OSError: It can't be read.
    """
    root = RealFolder(run)
    files: dict[str, int] = {}
    folders: list[str] = []
    others: list[str] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        for name in root.below(inside).names():
            path = f"{inside}/{name}".lstrip("/")
            kind = root.kind(path)
            if kind == FILE and _is_file_of_run(path):
                files[path] = root.size(path)
            elif kind == FOLDER and _is_folder_of_run(path):
                folders.append(path)
                waiting.append(path)
            elif kind:  # and not gone meanwhile
                others.append(path)
    return Contents(files=files, folders=tuple(folders), others=tuple(others))


def remove_run(run: Path) -> int:
    """Take away a run's folder with all that the run wrote in it, and nothing else.

    Args:
        run: Folder of the run.

    Returns:
        Bytes of what was taken away.

    Raises:
        UsageError: A process is at work in it, something else lies in it, or it is a link.
        CifarzooError: It can't be taken away; what is left is still a run's folder.
    """
    if run.is_symlink():
        raise UsageError(f"{run} is a link to a run's folder; name that, {run.resolve()}")
    with RunFolder(run).locked():
        found = contents(run)
        if found.others:
            others = _named(found.others)
            raise UsageError(f"{run} holds what no run writes: {others}; move that away first")
        root = RealFolder(run)
        first = [path for path in found.files if path not in LAST]
        last = [path for path in LAST if path in found.files]
        try:
            for path in [*first, *reversed(found.folders), *last]:
                root.take_away(path)
            run.rmdir()
        except OSError as error:
            raise CifarzooError(
                f"{run} cannot be taken away: {error.strerror}; what is left can be, by the same "
                "command"
            ) from error
    return found.size


def _is_file_of_run(path: str) -> bool:
    top, *rest = path.split("/")
    match top, rest:
        case _, []:
            return KINDS.get(top) == FILE or any(
                is_leftover(top, name) for name, kind in KINDS.items() if kind == FILE
            )
        case _, [_, name] if top == CHECKPOINTS:
            return name in (STATE, MANIFEST)
        case _, [name] if top == TENSORBOARD:
            return name.startswith(EVENTS)
    return top == PLUGINS


def _is_folder_of_run(path: str) -> bool:
    top, *rest = path.split("/")
    match top, rest:
        case _, []:
            return KINDS.get(top) == FOLDER
        case _, [name] if top == CHECKPOINTS:
            return bool(OF_A_STEP.fullmatch(name) or UNFINISHED.fullmatch(name))
    return top == PLUGINS


def _named(paths: tuple[str, ...]) -> str:
    return ", ".join(paths[:MOST_NAMED]) + ", …" * (len(paths) > MOST_NAMED)
