"""R3: kills at named points of the engine, the first, a middle and the last time they come."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cifarzoo.engine import loop, step_graph
from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.files.real_folder import RealFolder
from cifarzoo.run_folders.folder import (
    CONFIG,
    MANIFEST,
    METRICS,
    PREDICTIONS,
    RECORD,
    STATE,
    RunFolder,
)
from tests.trust.attempts import attempt, end_orphans, orphans
from tests.trust.cases import COMPARED, EQUAL, FAULTS, HUNG, Budget, Check, Outcome
from tests.trust.workload import (
    EVERYTHING,
    finals,
    kill_now,
    leftovers,
    shortfalls,
    train,
    train_on_ranks,
)

Reached = Callable[[], None]
Where = Callable[..., bool]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A moment at which a process can die.

    Attributes:
        arm: Makes the engine call a function there.
        in_every_rank: Whether every rank comes there, not only the one that writes.
    """

    arm: Callable[[Reached], None]
    in_every_rank: bool = False


def before(owner: Any, name: str, where: Where = lambda *_: True) -> Callable[[Reached], None]:
    """Just before a function is called with arguments that ``where`` accepts."""

    def arm(reached: Reached) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if where(*arguments):
                reached()
            return original(*arguments, **named)

        setattr(owner, name, wrapped)

    return arm


def after(owner: Any, name: str, where: Where = lambda *_: True) -> Callable[[Reached], None]:
    """Just after such a call."""

    def arm(reached: Reached) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            result = original(*arguments, **named)
            if where(*arguments):
                reached()
            return result

        setattr(owner, name, wrapped)

    return arm


def half_written(reached: Reached) -> None:
    """When half of a checkpoint's state is on the disk."""
    original = RealFolder.write

    def wrapped(folder: RealFolder, name: str, data: memoryview) -> None:
        if name == STATE:
            original(folder, name, data[: len(data) // 2])
            reached()
            folder.take_away(name)
        original(folder, name, data)

    RealFolder.write = wrapped


def half_a_line(reached: Reached) -> None:
    """When half of a line of metrics is on the disk."""
    original = RunFolder.append_metrics

    def wrapped(folder: RunFolder, line: dict[str, Any]) -> None:
        path, size = folder.path / METRICS, folder.metrics_size
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line)[:60])
            file.flush()
            os.fsync(file.fileno())
        reached()
        os.truncate(path, size)
        original(folder, line)

    RunFolder.append_metrics = wrapped


def _is_new(name: str, _target: str) -> bool:
    return name.startswith(".tmp-")


def _is_manifest(_folder: RealFolder, name: str, _data: bytes) -> bool:
    return name == MANIFEST


def _is_half_gone(_folder: RealFolder, name: str) -> bool:
    return name.startswith(".del-") and name.endswith(STATE)


def _is_record(_name: str, target: str) -> bool:
    return target == RECORD


def _is_predictions(_name: str, target: str) -> bool:
    return target == PREDICTIONS


def _is_config(_name: str, target: str) -> bool:
    return target == CONFIG


POINTS = {
    "config.gin not in place": Point(arm=before(os, "replace", _is_config)),
    "before a step": Point(arm=before(step_graph, "train_step"), in_every_rank=True),
    "after a step": Point(arm=after(loop, "emit_step"), in_every_rank=True),
    "before a test": Point(arm=before(loop, "score"), in_every_rank=True),
    "after a test": Point(arm=before(RunFolder, "append_metrics")),
    "half a line of metrics": Point(arm=half_a_line),
    "after a line of metrics": Point(arm=after(RunFolder, "append_metrics")),
    "predictions.npz not in place": Point(arm=before(os, "replace", _is_predictions)),
    "before a save": Point(arm=before(Checkpoints, "save")),
    "half the state": Point(arm=half_written),
    "before the manifest": Point(arm=before(RealFolder, "write", _is_manifest)),
    "before it is in place": Point(arm=before(os, "rename", _is_new)),
    "once it is in place": Point(arm=after(os, "rename", _is_new)),
    "before an old one goes": Point(arm=before(Checkpoints, "_remove")),
    "an old one half gone": Point(arm=before(RealFolder, "take_away", _is_half_gone)),
    "after a save": Point(arm=after(Checkpoints, "save")),
    "run.json not in place": Point(arm=before(os, "replace", _is_record)),
}


def arm(name: str, *, rank: int, at: int) -> None:
    """Kill this process, if it is ``rank``, at the ``at``-th time that it comes to a point."""
    if os.environ.get("RANK", "0") != str(rank):
        return
    seen = 0

    def reached() -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            kill_now()

    POINTS[name].arm(reached)


def count(file: Path) -> None:
    """Keep in ``file`` how often rank 0 came to each point."""
    if os.environ.get("RANK", "0") != "0":
        return
    times = dict.fromkeys(POINTS, 0)

    def reached(name: str) -> None:
        times[name] += 1
        file.write_text(json.dumps(times))

    for name, point in POINTS.items():
        point.arm(partial(reached, name))


def kill_points(budget: Budget) -> Iterator[Outcome]:
    """Kill at each point; with two ranks, the second where every rank comes."""
    for num_ranks, work in ((1, train), (2, train_on_ranks)):
        root = budget.folder(f"ranks{num_ranks}")
        counted = partial(count, root / "times.json")
        whole = attempt(work, root, "whole", EVERYTHING, (counted,), log=root / "whole.log")
        assert whole.code == 0, whole.said
        expected = finals(RunFolder(root / "whole"))
        times = json.loads((root / "times.json").read_text())
        never = [name for name in POINTS if not times[name]]
        yield Outcome(
            name=f"every point comes up in a run on {num_ranks} ranks",
            passed=not never,
            figure=f"never: {', '.join(never)}" if never else f"{sum(times.values())} times",
        )
        for name in POINTS:
            if budget.is_fast and (
                num_ranks == 2 or name not in ("half the state", "after a test")
            ):
                continue
            for at in sorted({1, (times[name] + 1) // 2, times[name]}):
                yield _die(work, root, name, at=at, num_ranks=num_ranks, expected=expected)


def _die(
    work: Callable[..., int],
    root: Path,
    point: str,
    *,
    at: int,
    num_ranks: int,
    expected: dict[str, str],
) -> Outcome:
    name = f"{point.replace(' ', '-')}-{at}"
    rank = num_ranks - 1 if POINTS[point].in_every_rank else 0
    log = root / f"{name}.log"
    armed = partial(arm, point, rank=rank, at=at)
    died = attempt(work, root, name, EVERYTHING, (armed,), log=log)
    problems = ["was not killed"] * (died.code == 0)
    problems += ["left processes behind"] * bool(orphans(patience=10.0))
    end_orphans()
    resumed = attempt(work, root, name, EVERYTHING, log=log)
    folder = RunFolder(root / name)
    short = shortfalls(resumed, folder, expected, what="resuming ")
    problems += [*short, *(f"leaves {file}" for file in leftovers(folder))]
    return Outcome(
        name=f"{point}, time {at}, {num_ranks} ranks",
        passed=not problems,
        figure="; ".join(problems) or "byte-equal",
        counts={
            FAULTS: 1,
            COMPARED: 1,
            EQUAL: int(not short),
            HUNG: died.hung + resumed.hung,
        },
    )


CHECKS = (
    Check(id="R3", title="SIGKILL at named points of steps, tests and saves", run=kill_points),
)
