"""D3: ranks that are killed, stopped or wrong, under a launcher that may start them again."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cifarzoo.engine.distributed.environment import PATIENCE, RankEnvironment, restarts
from cifarzoo.errors import EXIT_FAILED, EXIT_NOT_FINITE, EXIT_STOPPED, EXIT_USAGE
from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.zoo.optimizers.sgd import sgd
from tests.trust.attempts import Ended, attempt, end_orphans, orphans
from tests.trust.cases import COMPARED, EQUAL, FAULTS, HUNG, Budget, Check, Outcome
from tests.trust.kill_points import POINTS
from tests.trust.workload import (
    EVERYTHING,
    Patch,
    finals,
    kill_now,
    leftovers,
    shortfalls,
    train_on_ranks,
)

SHORT = 8  # seconds of patience, so that not every case takes as long as a user's
SLACK = 12.0  # seconds from the end of the patience to the word on it, on a busy machine
RESTART = r"restarting all ranks \({} of {}\)"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What befalls a rank.

    Attributes:
        do: Does it to the process itself.
        rank: Whose.
        attempts: In which the rank meets it; 0 is the first.
        point: Where, see ``kill_points``.
        at: The how-manieth time that the attempt comes there.
    """

    do: Callable[[], None]
    rank: int
    attempts: tuple[int, ...] = (0,)
    point: str = "before a step"
    at: int = 15

    def arm(self, moment: Path) -> None:
        """In each rank of each attempt: prepare it; the time at which it comes is noted."""
        if int(os.environ["RANK"]) != self.rank or restarts()[0] not in self.attempts:
            return
        seen = 0

        def reached() -> None:
            nonlocal seen
            seen += 1
            if seen == self.at:
                moment.write_text(str(time.monotonic()))
                self.do()

        POINTS[self.point].arm(reached)


def freeze() -> None:
    """Stop as a machine does that is suspended, once the others have heard in which step."""
    time.sleep(2.5)
    os.kill(os.getpid(), signal.SIGSTOP)


def meet_a_bug() -> None:
    """Fail as a plugin may on a machine of its own."""
    raise ValueError("a bug")


def ask_to_stop() -> None:
    """Ask this rank to stop, as a scheduler does."""
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Faults in one run, and what the launcher is to say of them.

    Attributes:
        name: What happens, a phrase.
        faults: In the order in which they come.
        says: Of each fault, a pattern.
        allowed: Restarts.
        environment: Variables that are set.
        is_fast: Whether it is among the few.
    """

    name: str
    faults: tuple[Fault, ...]
    says: tuple[str, ...]
    allowed: int = 1
    environment: tuple[tuple[str, str], ...] = ()
    is_fast: bool = False


PATIENT = ((PATIENCE, str(SHORT)),)
KILLED = "rank {} ended with SIGKILL"
HANGS = rf"rank {{}} has not answered for {SHORT} s \(it was in step 15\)"
CASES = (
    Case(name="rank 0 killed", faults=(Fault(do=kill_now, rank=0),), says=(KILLED.format(0),)),
    Case(
        name="rank 1 killed",
        faults=(Fault(do=kill_now, rank=1),),
        says=(KILLED.format(1),),
        is_fast=True,
    ),
    Case(
        name="rank 1 killed, then rank 0 in the next attempt",
        faults=(Fault(do=kill_now, rank=1), Fault(do=kill_now, rank=0, attempts=(1,), at=8)),
        says=(KILLED.format(1), KILLED.format(0)),
        allowed=3,
    ),
    Case(
        name="rank 0 killed while it writes a checkpoint",
        faults=(Fault(do=kill_now, rank=0, point="half the state", at=2),),
        says=(KILLED.format(0),),
    ),
    Case(
        name="rank 1 killed in a test",
        faults=(Fault(do=kill_now, rank=1, point="before a test", at=3),),
        says=(KILLED.format(1),),
    ),
    Case(
        name="rank 1 meets a bug once",
        faults=(Fault(do=meet_a_bug, rank=1),),
        says=("rank 1 raised ValueError: a bug",),
    ),
    Case(
        name="rank 1 stopped for good",
        faults=(Fault(do=freeze, rank=1),),
        says=(HANGS.format(1),),
        environment=PATIENT,
    ),
    Case(
        name="rank 0 stopped for good",
        faults=(Fault(do=freeze, rank=0),),
        says=(HANGS.format(0),),
        environment=PATIENT,
    ),
)


def elastic_restarts(budget: Budget) -> Iterator[Outcome]:
    """Each fault, and then those that no restart mends."""
    root = budget.scratch
    whole = attempt(train_on_ranks, root, "whole", EVERYTHING, log=root / "whole.log")
    assert whole.code == 0, whole.said
    expected = finals(RunFolder(root / "whole"))
    for case in CASES:
        if case.is_fast or not budget.is_fast:
            yield _survive(root, case, expected)
    if not budget.is_fast:
        yield _exhaust(root, expected)
        yield _stop(root, expected)
        yield _lose_patience(root)
    yield from _are_not_retried(root)


def _survive(root: Path, case: Case, expected: dict[str, str]) -> Outcome:
    name = _slug(case.name)
    ended, struck = _train(
        root, name, case.faults, allowed=case.allowed, environment=dict(case.environment)
    )
    folder = RunFolder(root / name)
    short = shortfalls(ended, folder, expected)
    problems = [*short, *(f"leaves {file}" for file in leftovers(folder)), *_left_behind()]
    for number, pattern in enumerate(case.says, start=1):
        wanted = f"{pattern}; {RESTART.format(number, case.allowed)}"
        problems += [f"does not say {wanted}: {ended.said}"] * (not re.search(wanted, ended.said))
    problems += ["a fault did not come"] * (len(struck) < len(case.faults))
    problems += ["restarts more"] * (ended.said.count("restarting all") > len(case.faults))
    return Outcome(
        name=case.name,
        passed=not problems,
        figure="; ".join(problems) or f"{len(case.faults)} of {case.allowed} restarts, byte-equal",
        counts={
            FAULTS: len(case.faults),
            COMPARED: 1,
            EQUAL: int(not short),
            HUNG: int(ended.hung),
        },
    )


def _exhaust(root: Path, expected: dict[str, str]) -> Outcome:
    """A rank that is killed in every attempt; the same command then goes on without faults."""
    fault = Fault(do=kill_now, rank=1, attempts=(0, 1, 2), at=6)
    ended, _ = _train(root, "exhausted", (fault,), allowed=2)
    problems = _unlike(ended, EXIT_FAILED, "rank 1 ended with SIGKILL, after 2 of 2 restarts; cif")
    problems += _left_behind()
    again = attempt(train_on_ranks, root, "exhausted", EVERYTHING, log=root / "exhausted.again")
    short = shortfalls(again, RunFolder(root / "exhausted"), expected, what="then ")
    problems += short
    return Outcome(
        name="rank 1 killed in every attempt, and the same command afterwards",
        passed=not problems,
        figure="; ".join(problems) or f"exit code {ended.code}, after that byte-equal",
        counts={FAULTS: 3, COMPARED: 1, EQUAL: int(not short), HUNG: ended.hung + again.hung},
    )


def _stop(root: Path, expected: dict[str, str]) -> Outcome:
    """A rank that is asked to stop: no fault, and no restart; the same command goes on."""
    fault = Fault(do=ask_to_stop, rank=1)
    ended, _ = _train(root, "stopped", (fault,), allowed=3)
    problems = _unlike(ended, EXIT_STOPPED, "'signal': 'SIGTERM'") + _left_behind()
    again = attempt(train_on_ranks, root, "stopped", EVERYTHING, log=root / "stopped.again")
    ignored = ("kept",)  # one more is written, at the step at which it stopped
    short = shortfalls(again, RunFolder(root / "stopped"), expected, ignored=ignored)
    problems += short
    return Outcome(
        name="rank 1 asked to stop",
        passed=not problems,
        figure="; ".join(problems) or f"exit code {ended.code}, no restart, after that byte-equal",
        counts={FAULTS: 1, COMPARED: 1, EQUAL: int(not short), HUNG: ended.hung + again.hung},
    )


def _lose_patience(root: Path) -> Outcome:
    """A rank that is stopped for good, noticed as users have it: with the default patience."""
    patience = RankEnvironment.patience
    ended, struck = _train(root, "patient", (Fault(do=freeze, rank=1),), allowed=0)
    seconds = time.monotonic() - max(struck, default=0.0)
    says = rf"rank 1 has not answered for {patience:.0f} s \(it was in step 15\)"
    problems = _unlike(ended, EXIT_FAILED, says) + _left_behind()
    problems += [f"took {seconds:.0f} s"] * (seconds > min(60.0, patience + SLACK))
    return Outcome(
        name="rank 1 stopped for good, the patience that is the default",
        passed=not problems,
        figure="; ".join(problems) or f"named with its step after {seconds:.0f} s",
        counts={FAULTS: 1, HUNG: int(ended.hung)},
        largest={"seconds until a rank that hangs is named": round(seconds, 1)},
    )


def _are_not_retried(root: Path) -> Iterator[Outcome]:
    """What only the user can mend ends the run at once, however many restarts are allowed."""
    for name, changes, code, says in (
        ("a config that is refused", {"batch_size": 999}, EXIT_USAGE, "batch_size is 999"),
        (
            "a loss that is not finite",
            {"optimizer": partial(sgd, lr=1e30)},
            EXIT_NOT_FINITE,
            "is not finite in step",
        ),
    ):
        ended, _ = _train(root, _slug(name), (), allowed=3, changes=changes)
        problems = _unlike(ended, code, says) + _left_behind()
        yield Outcome(
            name=f"{name}, with 3 restarts allowed",
            passed=not problems,
            figure="; ".join(problems) or f"exit code {ended.code}, no restart",
            counts={FAULTS: 1, HUNG: int(ended.hung)},
        )


def _train(
    root: Path,
    name: str,
    faults: tuple[Fault, ...],
    *,
    allowed: int,
    environment: dict[str, str] | None = None,
    changes: dict[str, Any] | None = None,
) -> tuple[Ended, list[float]]:
    """How an attempt ended, and when each fault came, by the monotonic clock."""
    moments = [root / f"{name}.fault{number}" for number in range(len(faults))]
    patches: tuple[Patch, ...] = tuple(
        partial(fault.arm, moment) for fault, moment in zip(faults, moments, strict=True)
    )
    ended = attempt(
        partial(train_on_ranks, max_restarts=allowed),
        root,
        name,
        EVERYTHING | (changes or {}),
        patches,
        log=root / f"{name}.log",
        environment=environment,
    )
    return ended, [float(moment.read_text()) for moment in moments if moment.exists()]


def _unlike(ended: Ended, code: int, says: str) -> list[str]:
    """What differs from an end with ``code`` and a word, after as many restarts as that tells."""
    told = re.search(r"after (\d+) of", says)
    problems = [f"exit code {ended.code}: {ended.said[-300:]}"] * (ended.code != code)
    problems += [f"does not say {says}: {ended.said[-300:]}"] * (not re.search(says, ended.said))
    retried = ended.said.count("restarting all")
    return problems + [f"{retried} restarts"] * (retried != int(told[1] if told else 0))


def _left_behind() -> list[str]:
    found = orphans(patience=10.0)
    end_orphans()
    return ["left processes behind"] * bool(found)


def _slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


CHECKS = (
    Check(
        id="D3", title="ranks that are killed or hang, with --max-restarts", run=elastic_restarts
    ),
)
