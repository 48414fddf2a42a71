"""C3, C4: disks that are full or read-only, and the order in which files reach one."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.errors import CheckpointError
from cifarzoo.run_folders.folder import METRICS, STATE, RunFolder, create
from tests.trust.attempts import Ended, attempt
from tests.trust.cases import (
    COMPARED,
    EQUAL,
    FAULTS,
    HUNG,
    Budget,
    Check,
    Outcome,
    skipped,
)
from tests.trust.kill_points import arm
from tests.trust.workload import (
    EVERYTHING,
    Patch,
    finals,
    leftovers,
    shortfalls,
    train,
)

HUNGRY = {**EVERYTHING, "keep_checkpoints": 4}  # more than some of the disks have room for
ROOM_FOR_METRICS = 8192  # bytes that every other file of the run stays below
WITHOUT_ROOM = ("kept", "predictions")  # what a run that finishes in little room may lack
TMPFS_KILOBYTES = (112, 120, 136, 160, 240)


def limit_files(size: int) -> None:
    """Let this process write no file beyond ``size`` bytes, as if the disk were full."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


# C3


def disks(budget: Budget) -> Iterator[Outcome]:
    """Full and read-only disks, each with room made later."""
    root = budget.scratch
    whole = attempt(train, root, "whole", HUNGRY, log=root / "whole.log")
    assert whole.code == 0, whole.said
    expected = finals(RunFolder(root / "whole"))
    yield from _limited(root, expected, number=budget.take(20, 2))
    sizes = TMPFS_KILOBYTES[:: budget.take(1, 4)]
    if not _can_mount(root):
        for size in sizes:
            yield skipped(f"a disk of {size} KB", "only root can mount a tmpfs")
        yield skipped("a disk that is read-only", "only root can mount a tmpfs")
        return
    for size in sizes:
        yield _small(root, expected, size)
    yield _read_only(root, expected)


def _limited(root: Path, expected: dict[str, str], *, number: int) -> Iterator[Outcome]:
    """Go on from step 10 with files limited to sizes around that of a checkpoint's state."""
    kill = partial(arm, "after a step", rank=0, at=11)
    attempt(train, root, "died", HUNGRY, (kill,), log=root / "died.log")
    size = (RunFolder(root / "died").checkpoints / "step-00000010" / STATE).stat().st_size
    for index in range(number):
        limit = 1024 + (size * 11 // 10 - 1024) * index // max(1, number - 1)
        name = f"limit{limit}"
        shutil.copytree(root / "died", root / name)
        yield _filled(
            root,
            name,
            f"no file beyond {limit} bytes of a state's {size}",
            expected,
            patches=(partial(limit_files, limit),),
            must_finish=limit >= ROOM_FOR_METRICS,
        )


def _small(root: Path, expected: dict[str, str], kilobytes: int) -> Outcome:
    """A whole run on a file system of a few checkpoints, which is then made larger."""
    name = f"disk{kilobytes}"
    with _tmpfs(root / name, f"size={kilobytes}k"):
        title = f"a disk of {kilobytes} KB"
        return _filled(root / name, "run", title, expected, enlarge=root / name)


def _filled(
    root: Path,
    name: str,
    title: str,
    expected: dict[str, str],
    *,
    patches: tuple[Patch, ...] = (),
    enlarge: Path | None = None,
    must_finish: bool = False,
) -> Outcome:
    """Train where there is no room, then where there is."""
    log = Path(f"{root}.{name}.log")
    ended = attempt(train, root, name, HUNGRY, patches, log=log)
    folder = RunFolder(root / name)
    problems = [*_unexpected(ended), *_no_checkpoint(folder)]
    problems += [f"leaves {file}" for file in leftovers(folder)]
    lines = len(folder.metrics())
    problems += [f"has {lines} epochs"] * (must_finish and lines != HUNGRY["epochs"])
    warned = ended.said.count("was not written")
    if enlarge is not None:
        _mount(enlarge, "remount,size=50m")
    again = attempt(train, root, name, HUNGRY, log=log)
    short = shortfalls(again, folder, expected, what="with room ", ignored=WITHOUT_ROOM)
    problems += short
    return Outcome(
        name=title,
        passed=not problems,
        figure="; ".join(problems) or f"{warned} saves failed, exit code {ended.code}, then equal",
        counts={FAULTS: 1, COMPARED: 1, EQUAL: int(not short), HUNG: ended.hung + again.hung},
    )


def _read_only(root: Path, expected: dict[str, str]) -> Outcome:
    """A run that died, on a file system that came back read-only, as after errors of a disk."""
    place, log = root / "read-only", root / "read-only.log"
    with _tmpfs(place, "size=50m"):
        kill = partial(arm, "after a step", rank=0, at=17)
        attempt(train, place, "run", HUNGRY, (kill,), log=log)
        problems = [_mount(place, "remount,ro")]
        refused = attempt(train, place, "run", HUNGRY, log=Path(f"{log}.2"))
        is_one_line = "Read-only" in refused.said and refused.said.count("\n") == 1
        problems += [f"{refused.code} {refused.said[-300:]}"] * (
            refused.code != 2 or not is_one_line
        )
        problems += _no_checkpoint(RunFolder(place / "run"))
        problems += [_mount(place, "remount,rw")]
        again = attempt(train, place, "run", HUNGRY, log=log)
        short = shortfalls(again, RunFolder(place / "run"), expected, what="mended ")
        problems += short
    problems = [problem for problem in problems if problem]
    return Outcome(
        name="a disk that is read-only when a run is resumed",
        passed=not problems,
        figure="; ".join(problems) or "refused in a line, nothing lost, then byte-equal",
        counts={FAULTS: 1, COMPARED: 1, EQUAL: int(not short), HUNG: int(again.hung)},
    )


def _unexpected(ended: Ended) -> list[str]:
    """What no full disk excuses: another exit code than 0 and 1, a traceback, several lines."""
    plain = [line for line in ended.said.splitlines() if not line.startswith("{'event'")]
    problems = [f"exit code {ended.code}"] * (ended.code not in (0, 1))
    problems += [f"said {ended.said[-500:]}"] * (len(plain) != ended.code)
    return problems + ["hung"] * ended.hung


def _no_checkpoint(folder: RunFolder) -> list[str]:
    checkpoints = Checkpoints(folder.checkpoints, keep=9, warn=lambda _: None)
    try:
        for step in checkpoints.steps():
            checkpoints.read(step)
    except CheckpointError as error:
        return [str(error)]
    return [] if checkpoints.steps() else ["no checkpoint is left"]


def _can_mount(root: Path) -> bool:
    try:
        with _tmpfs(root / "try", "size=50k"):
            return True
    except OSError:
        return False


@contextmanager
def _tmpfs(place: Path, options: str) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    problem = _mount(place, options)
    if problem:
        raise OSError(problem)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _mount(place: Path, options: str) -> str:
    """Mount a tmpfs, or mount it anew; what went wrong."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "there is no mount"
    return done.stderr.strip() if done.returncode else ""


# C4


class Calls:
    """Spies on the calls that decide what is on a disk after a power cut."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._fsync, self._rename, self._replace = os.fsync, os.rename, os.replace

    def __enter__(self) -> Calls:
        os.fsync = self._spy_fsync
        spy, calls = self._spy_move, (self._rename, self._replace)
        os.rename = lambda name, target, **within: spy(calls[0], name, target, **within)
        os.replace = lambda name, target, **within: spy(calls[1], name, target, **within)
        return self

    def __exit__(self, *_: object) -> None:
        os.fsync, os.rename, os.replace = self._fsync, self._rename, self._replace

    def _spy_fsync(self, number: int) -> None:
        path = Path(f"/proc/self/fd/{number}").readlink()
        self.seen.append(f"fsync {_plain(path)} {path.stat().st_size > 0}")
        self._fsync(number)

    def _spy_move(self, move: Any, name: str, target: str, **within: int) -> None:
        self.seen.append(f"{_plain(Path(name))} becomes {_plain(Path(target))}")
        move(name, target, **within)


def _plain(path: Path) -> str:
    return path.name.replace(f"-{os.getpid()}", "").replace(f".{os.getpid()}", "")


SAVED = [
    "fsync {1} True",  # the run's folder: what lies beside the checkpoints
    "fsync state.pt True",
    "fsync manifest.json True",
    "fsync .tmp-{0} True",
    ".tmp-{0} becomes step-{0:08d}",
    "fsync checkpoints True",
]
REMOVED = "step-{0:08d} becomes .del-{0}"


def order(budget: Budget) -> Iterator[Outcome]:
    """What is synced before what is renamed, for each kind of file."""
    state = {"w": torch.arange(100.0)}
    checkpoints = Checkpoints(budget.scratch / "checkpoints", keep=2, warn=print)

    def save(step: int) -> None:
        assert checkpoints.save(step, state, facts={"config": "x"})

    parent = budget.scratch.name
    first = [line.format(10, parent) for line in SAVED]
    yield _ordered("the first checkpoint", partial(save, 10), first)
    second = [line.format(20, parent) for line in SAVED]
    yield _ordered("one more", partial(save, 20), second)
    third = [line.format(30, parent) for line in SAVED] + [REMOVED.format(10)]
    yield _ordered("one too many: the oldest goes last", partial(save, 30), third)
    again = [line.format(30, parent) for line in SAVED]
    again.insert(4, REMOVED.format(30))
    yield _ordered("the same step again: the old one goes last", partial(save, 30), again)
    folder = create(budget.scratch, "name", "x = 1\n")
    record = ["fsync .run.json True", ".run.json becomes run.json"]
    yield _ordered("run.json", partial(folder.update, status="running"), record)
    line = [f"fsync {METRICS} True"]
    yield _ordered("a line of metrics", partial(folder.append_metrics, {"epoch": 1}), line)


def _ordered(name: str, write: Any, expected: list[str]) -> Outcome:
    with Calls() as calls:
        write()
    passed = calls.seen == expected
    figure = " > ".join(calls.seen).replace(" True", "")
    return Outcome(
        name=name, passed=passed, figure=figure, counts={"calls in order": len(expected)}
    )


CHECKS = (
    Check(id="C3", title="disks that are full or read-only, and room made later", run=disks),
    Check(id="C4", title="the order of write, fsync and rename", run=order),
)
