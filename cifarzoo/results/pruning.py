"""Checkpoints of finished runs that nothing needs any more: all but the newest and the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cifarzoo.components.user_paths import expanded
from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.run_folders.contents import contents
from cifarzoo.run_folders.folder import RunFolder, saved_steps
from cifarzoo.run_folders.summary import DONE

KEPT = 1  # of the newest checkpoints


@dataclass(frozen=True, kw_only=True)
class Outlived:
    """Checkpoints of a finished run that nothing needs.

    Attributes:
        run: Folder of the run.
        newest: Step of its newest checkpoint, which was read and found whole.
        best: Step of the best one on validation; None: there are no validation images.
        steps: Steps of those that nothing needs.
        size: Bytes of these.
    """

    run: Path
    newest: int
    best: int | None
    steps: tuple[int, ...]
    size: int

    def remove(self) -> None:
        """Take them away.

        Raises:
            UsageError: A process is at work in the folder, or the run isn't as it was.
        """
        folder = RunFolder(self.run)
        with folder.locked():
            if folder.record.get("status") != DONE or self.newest not in saved_steps(
                folder.checkpoints
            ):
                raise UsageError(f"{self.run} was changed meanwhile; nothing of it was taken away")
            _checkpoints(folder).tidy(self.newest, self.best)


def outlived(
    runs: Iterable[Path], parents: Iterable[Path], warn: Callable[[str], None]
) -> list[Outlived]:
    """What can be taken away of finished runs.

    The newest checkpoint, which the others stand in for if it is damaged, is read whole first.

    Args:
        runs: Folders of finished runs.
        parents: Folders of runs that may have begun at a checkpoint, and would again.
        warn: Receives why the checkpoints of a run are all kept.
    """
    needed = {parent for run in parents for parent in _parent(run)}
    found: list[Outlived] = []
    for run in runs:
        try:
            each = _of_run(run)
        except (CifarzooError, OSError) as error:
            warn(f"{run} keeps its checkpoints: {error}")
            continue
        if each is None:
            continue
        if any((str(run.resolve()), step) in needed for step in each.steps):
            warn(f"{run} keeps its checkpoints: an unfinished run began at one of them")
        else:
            found.append(each)
    return found


def _of_run(run: Path) -> Outlived | None:
    folder = RunFolder(run)
    steps = saved_steps(folder.checkpoints)
    if len(steps) <= KEPT:
        return None
    checkpoints, newest = _checkpoints(folder), steps[-1]
    best = checkpoints.read(newest).state["numbers"]["best_step"]
    spare = tuple(checkpoints.outlived(newest, best))
    sizes = contents(run).checkpoints()
    size = sum(sizes[step] for step in spare)
    return Outlived(run=run, newest=newest, best=best, steps=spare, size=size) if spare else None


def _checkpoints(folder: RunFolder) -> Checkpoints:
    return Checkpoints(folder.checkpoints, keep=KEPT, warn=lambda _message: None)


def _parent(run: Path) -> Iterable[tuple[str, int]]:
    try:
        parent = RunFolder(run).record.get("parent")
    except CifarzooError:
        return
    if parent:
        yield str(expanded(parent["run"]).resolve()), parent["step"]
