"""Contenders in turns: each a process of its own that trains while the others wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.task import Task
from cifarzoo.bench.measurement import load_average
from cifarzoo.bench.spreads import rate, ratio
from cifarzoo.bench.timing import Sample

OURS, OURS_FLOAT32 = "cifarzoo", "cifarzoo float32"
CONTENDERS = {  # and the precision that each is told to use
    OURS: "auto",
    OURS_FLOAT32: "float32",
    "timm": "auto",
    "timm bfloat16": "bfloat16",
    "plain": "auto",
}
ROOT = Path(__file__).parents[1]


class Contender:
    """A process that trains when it is told to.

    Args:
        name: Name among ``CONTENDERS``.
        process: Process of the contender, which speaks ``pace.Pace``'s language.
    """

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process

    def turn(self, steps: int) -> dict[str, Any]:
        """Let it train for so many steps; gives images and seconds of wall and CPU time."""
        if self._process.stdin is None:
            raise AssertionError("it was started without a pipe")
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """What it says next."""
        if self._process.stdout is None:
            raise AssertionError("it was started without a pipe")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with exit code {self._process.wait()}")
        said: dict[str, Any] = json.loads(line)
        return said


@contextmanager
def started(name: str, task: Task) -> Iterator[Contender]:
    """A contender that has done its first step; it ends with the ``with``."""
    told = replace(task, precision=CONTENDERS[name])
    command = [sys.executable, "-m", "benchmarks.contender", name, told.text()]
    environment = dict(os.environ)
    if name in (OURS, OURS_FLOAT32):  # as our command line does
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    process = subprocess.Popen(  # noqa: S603  (ourselves)
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    contender = Contender(name, process)
    try:
        contender.answer()
        yield contender
    finally:
        process.communicate()


def compare(
    task: Task, *, rounds: int, steps: int, emit: Callable[[str], None], names: Sequence[str]
) -> dict[str, Any]:
    """Let all contenders train ``task`` in turns.

    Args:
        task: Task that all are given.
        rounds: Number of turns of each; one more comes first and isn't counted.
        steps: Optimizer steps of a turn.
        emit: Callback that receives a line of progress.
        names: Names of the contenders; ours are compared with all.

    Returns:
        What is written as JSON.
    """
    title = f"{task.network}, batch {task.batch_size}"
    turns: dict[str, list[Sample]] = {name: [] for name in names}
    order = 0
    before = load_average()
    with ExitStack() as stack:
        contenders = []
        for name in names:
            emit(f"{title}: first steps of {name}")
            contender = stack.enter_context(started(name, task))
            contender.turn(1)
            contenders.append(contender)
        for number in range(rounds):
            emit(f"{title}: round {number + 1} of {rounds}")
            for contender in contenders:
                said = contender.turn(steps)
                amount = said.pop("images")
                sample = Sample(round=number, order=order, amount=amount, **said)
                turns[contender.name].append(sample)
                order += 1
    return {
        "network": task.network,
        "batch_size": task.batch_size,
        "threads": task.threads,
        "workers": task.workers,
        "rounds": rounds,
        "steps": steps,
        "load_average": {"before": before, "after": load_average()},
        "contenders": [_row(name, turns) for name in names],
    }


def _row(name: str, turns: dict[str, list[Sample]]) -> dict[str, Any]:
    return {
        "name": name,
        "precision": CONTENDERS[name],
        "per_second": rate(turns[name], "wall_seconds"),
        "per_cpu_second": rate(turns[name], "cpu_seconds"),
        "times_as_fast": {
            ours: {
                "wall": ratio(turns[ours], turns[name], "wall_seconds"),
                "cpu": ratio(turns[ours], turns[name], "cpu_seconds"),
            }
            for ours in (OURS, OURS_FLOAT32)
            if ours in turns
        },
        "samples": [vars(sample) for sample in turns[name]],
    }
