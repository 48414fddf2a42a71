"""C5: one run a folder, and a run that was killed keeps nobody out."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cifarzoo.engine import loop
from cifarzoo.run_folders.folder import LOCK, RunFolder
from tests.tiny import evaluated, tiny_task
from tests.trust.attempts import Attempt, Ended, attempt
from tests.trust.cases import COMPARED, EQUAL, FAULTS, HUNG, Budget, Check, Outcome
from tests.trust.workload import (
    EVERYTHING,
    Patch,
    finals,
    newest_step,
    shortfalls,
    train,
    train_on_ranks,
)

WAITS_IN = 12  # step of the run that holds the lock, after its first checkpoint
LONGEST_WAIT = 120  # seconds
ORPHAN_SECONDS = 60


def wait_for(file: Path) -> None:
    """Stay in step 12 until there is ``file``: until another run has come and gone."""
    emit = loop.emit_step

    def tell_and_wait(training: Any) -> None:
        end = time.monotonic() + LONGEST_WAIT
        while training.state.step == WAITS_IN and not file.exists() and time.monotonic() < end:
            time.sleep(0.01)
        emit(training)

    loop.emit_step = tell_and_wait


def leave_an_orphan(file: Path) -> None:
    """Fork a process in mid-run that outlives this one, as a loader's worker can."""
    emit = loop.emit_step

    def tell_and_fork(training: Any) -> None:
        if training.state.step == 3:
            child = os.fork()
            if child == 0:
                time.sleep(ORPHAN_SECONDS)
                os._exit(0)
            file.write_text(str(child))
        emit(training)

    loop.emit_step = tell_and_fork


def touch_lock(path: Path) -> None:
    """Open and close the lock's file in mid-run, which drops locks of POSIX's kind."""
    emit = loop.emit_step

    def tell_and_touch(training: Any) -> None:
        if training.state.step == 2:
            path.read_bytes()
        emit(training)

    loop.emit_step = tell_and_touch


def evaluate(root: Path, name: str) -> int:
    """Test a run's newest weights, as ``cifarzoo eval`` does."""
    return 0 if evaluated(tiny_task(root, name, **EVERYTHING)).step else 1


def locks(budget: Budget) -> Iterator[Outcome]:
    """Runs that meet in one folder."""
    root = budget.scratch
    whole = attempt(train, root, "whole", EVERYTHING, log=root / "whole.log")
    assert whole.code == 0, whole.said
    expected = finals(RunFolder(root / "whole"))
    meet = partial(_meet, root, expected)
    yield meet("a second run")
    yield meet("a second run on two ranks", second=train_on_ranks)
    yield meet("a second run while the first is stopped", stop=True)
    touched = partial(touch_lock, root / "touched" / LOCK)
    yield meet("after the lock's file was opened and closed", name="touched", patches=(touched,))
    yield meet("a test of the newest weights, which is let in", second=evaluate, is_let_in=True)
    yield _orphan(root, expected)
    yield _stale(root, expected)


def _meet(
    root: Path,
    expected: dict[str, str],
    title: str,
    *,
    name: str = "",
    second: Any = train,
    patches: tuple[Patch, ...] = (),
    stop: bool = False,
    is_let_in: bool = False,
) -> Outcome:
    """Start a run, and another in its folder once that has a checkpoint."""
    name = name or title.replace(" ", "-")
    gone = root / f"{name}.gone"
    waiting = (partial(wait_for, gone), *patches)
    first = Attempt(train, root, name, EVERYTHING, waiting, log=root / f"{name}.log")
    while first.is_alive and newest_step(root, name) < WAITS_IN - 1:
        time.sleep(0.01)
    if stop:
        first.send(signal.SIGSTOP)
    arguments = (root, name) if is_let_in else (root, name, EVERYTHING)
    other = attempt(second, *arguments, log=root / f"{name}.other.log")
    was_alive = first.is_alive
    gone.touch()
    if stop:
        first.send(signal.SIGCONT)
    ended = first.wait()
    problems = ["the first had ended before"] * (not was_alive)
    if is_let_in:
        problems += [f"exit code {other.code}: {other.said[-300:]}"] * bool(other.code)
    else:
        who = f"in use by another run (process {first.pid} on"
        problems += [f"exit code {other.code}: {other.said[-300:]}"] * (
            other.code != 2 or who not in other.said or other.said.count("\n") != 1
        )
    return _outcome(title, problems, ended, RunFolder(root / name), expected)


def _orphan(root: Path, expected: dict[str, str]) -> Outcome:
    name, file = "orphan", root / "orphan.pid"
    patches = (partial(wait_for, root / "never"), partial(leave_an_orphan, file))
    first = Attempt(train, root, name, EVERYTHING, patches, log=root / f"{name}.log")
    while first.is_alive and newest_step(root, name) < WAITS_IN - 1:
        time.sleep(0.01)
    first.send(signal.SIGKILL)
    first.wait()
    orphan = int(file.read_text())
    again = attempt(train, root, name, EVERYTHING, log=root / f"{name}.log")
    problems = []
    try:
        os.kill(orphan, signal.SIGKILL)
    except ProcessLookupError:
        problems.append("the orphan had ended before")
    title = "kill -9 of a run whose child lives on"
    return _outcome(title, problems, again, RunFolder(root / name), expected)


def _stale(root: Path, expected: dict[str, str]) -> Outcome:
    folder = RunFolder(root / "stale")
    folder.path.mkdir()
    (folder.path / LOCK).write_text("4194303 another host\n")
    ended = attempt(train, root, "stale", EVERYTHING, log=root / "stale.log")
    return _outcome("a lock's file that a reboot left", [], ended, folder, expected)


def _outcome(
    title: str, problems: list[str], ended: Ended, folder: RunFolder, expected: dict[str, str]
) -> Outcome:
    short = shortfalls(ended, folder, expected)
    problems = [*problems, *short]
    return Outcome(
        name=title,
        passed=not problems,
        figure="; ".join(problems) or "as promised, and the run byte-equal",
        counts={
            FAULTS: 1,
            COMPARED: 1,
            EQUAL: int(not short),
            HUNG: int(ended.hung),
        },
    )


CHECKS = (Check(id="C5", title="several runs in one folder", run=locks),)
