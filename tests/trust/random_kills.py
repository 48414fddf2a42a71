"""R1, R2: runs that are killed at random times, again and again, until they are done."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from cifarzoo.run_folders.folder import RunFolder
from tests.trust.attempts import Attempt, Ended, attempt, end_orphans, orphans
from tests.trust.cases import COMPARED, EQUAL, FAULTS, HUNG, Budget, Check, Outcome
from tests.trust.workload import (
    EVERYTHING,
    PROGRESS,
    differences,
    finals,
    leftovers,
    newest_step,
    saved_step,
    train,
    train_on_ranks,
)

INTERVAL = EVERYTHING["checkpoint_steps"]
LONG = {**EVERYTHING, "epochs": 12}  # 96 steps
SHARE = 0.5  # of a run's time: the longest that an attempt trains before it is killed
Work = Callable[..., int]


def one_process(budget: Budget) -> Iterator[Outcome]:
    """SIGKILL the process of a run at random times."""
    yield from _kill(budget, train, kills=budget.take(50, 6), victims=[None])


def two_ranks(budget: Budget) -> Iterator[Outcome]:
    """SIGKILL a random one of two ranks at random times."""
    yield from _kill(budget, train_on_ranks, kills=budget.take(20, 2), victims=[0, 1])


def _kill(
    budget: Budget, work: Work, *, kills: int, victims: list[int | None]
) -> Iterator[Outcome]:
    root, rng = budget.scratch, random.Random(budget.seed)
    whole = attempt(work, root, "whole", LONG, log=root / "whole.log")
    assert whole.code == 0, whole.said
    expected = finals(RunFolder(root / "whole"))
    span = SHARE * RunFolder(root / "whole").record["train_seconds"]
    done, number = 0, 0
    while done < kills:
        number += 1
        name = f"run{number}"
        killed, lost, problems = 0, 0, list[str]()
        while True:  # attempts at this run, each killed, until one gets through
            victim = rng.choice(victims)
            delay = rng.uniform(0, span) if done < kills else None
            ended, steps_lost, was_killed = _attempt(work, root, name, victim, delay)
            problems += ["hung"] * ended.hung
            problems += ["left processes behind"] * bool(orphans(patience=10.0))
            end_orphans()
            lost = max(lost, steps_lost)
            killed += was_killed
            done += was_killed
            if ended.code == 0:
                break
            if not was_killed or ended.hung:
                problems.append(f"ended with {ended.code}: {ended.said[-300:]}")
                break
        folder = RunFolder(root / name)
        differing = differences(expected, finals(folder)) if not problems else ["unknown"]
        problems += [f"differs in {', '.join(differing)}"] if differing else []
        problems += [f"leaves {name}" for name in leftovers(folder)]
        problems += [f"lost {lost} steps"] * (lost > INTERVAL)
        yield Outcome(
            name=f"run {number}",
            passed=not problems,
            figure="; ".join(problems) or f"{killed} kills, byte-equal, lost at most {lost} steps",
            counts={
                FAULTS: killed,
                COMPARED: 1,
                EQUAL: int(not differing),
                HUNG: problems.count("hung"),
            },
            largest={"steps lost": lost},
        )


def _attempt(
    work: Work, root: Path, name: str, victim: int | None, delay: float | None
) -> tuple[Ended, int, bool]:
    """One attempt, killed ``delay`` seconds after a step: how it ended, steps lost, if it was.

    One attempt in eight is killed before its first step.
    """
    for note in root.glob(f"{name}.{PROGRESS}"):
        note.unlink()
    for note in root.glob(f"{name}.rank*"):  # of an earlier attempt: its ids may be others' now
        note.unlink()
    running = Attempt(work, root, name, LONG, log=root / f"{name}.log")
    if delay is None:
        return running.wait(), 0, False
    is_early = int(delay * 1e6) % 8 == 0
    while running.is_alive and not newest_step(root, name) and not is_early:
        time.sleep(0.01)
    time.sleep(delay)
    was_killed = running.is_alive
    if victim is None:
        running.send(signal.SIGKILL)
    else:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int((root / f"{name}.rank{victim}").read_text()), signal.SIGKILL)
    ended = running.wait()
    was_killed = was_killed and ended.code != 0
    lost = newest_step(root, name) - saved_step(RunFolder(root / name)) if was_killed else 0
    return ended, max(0, lost), was_killed


CHECKS = (
    Check(
        id="R1",
        title="SIGKILL at random times, one process, a checkpoint every 10 steps",
        run=one_process,
    ),
    Check(id="R2", title="SIGKILL of a random one of two ranks at random times", run=two_ranks),
)
