"""Contenders in turns: each a process of its own that trains while the others wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.task import Task
from cifarzoo.bench.measurement import load_average
from cifarzoo.bench.spreads import rate, ratio
from cifarzoo.bench.timing import Sample

OURS, OURS_FLOAT32 = "cifarzoo", "cifarzoo float32"
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A contender before it is started.

    Attributes:
        name: Name in tables; its first word says which loop it is.
        told: Fields of the task that are changed for it.
        python: Python that runs it.
        tree: Checkout whose benchmarks, and whose cifarzoo, it is.
    """

    name: str
    told: Mapping[str, Any] = field(default_factory=dict)
    python: str = sys.executable
    tree: Path = ROOT


CONTENDERS = (
    Entry(name=OURS),
    Entry(name=OURS_FLOAT32, told={"precision": "float32"}),
    Entry(name="cifarzoo torch kernels", told={"kernels": "torch"}),
    Entry(name="timm"),
    Entry(name="timm bfloat16", told={"precision": "bfloat16"}),
    Entry(name="plain"),
    Entry(name="plain bfloat16", told={"precision": "bfloat16"}),
)


def of_extension(python: str) -> Entry:
    """Intel's extension, which ``python`` can import."""
    return Entry(name="ipex bfloat16", told={"precision": "bfloat16"}, python=python)


def of_tree(tree: Path) -> Entry:
    """Ours as it is in another checkout."""
    return Entry(name=f"{OURS} of {tree.name}", tree=tree)


class Contender:
    """A process that trains when it is told to.

    Args:
        name: Name of its entry.
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
def started(entry: Entry, task: Task) -> Iterator[Contender]:
    """A contender that has done its first step; it ends with the ``with``."""
    told = replace(task, **entry.told)
    command = [entry.python, "-m", "benchmarks.contender", entry.name, told.text()]
    environment = dict(os.environ)
    if entry.name.startswith(OURS):  # as our command line does
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    process = subprocess.Popen(  # noqa: S603  (ourselves)
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=entry.tree,  # found before what is installed
        env=environment,
    )
    contender = Contender(entry.name, process)
    try:
        contender.answer()
        yield contender
    finally:
        process.communicate()


def compare(
    task: Task, *, rounds: int, steps: int, emit: Callable[[str], None], entries: Sequence[Entry]
) -> dict[str, Any]:
    """Let all contenders train ``task`` in turns.

    Args:
        task: Task that all are given.
        rounds: Number of turns of each; one more comes first and isn't counted.
        steps: Optimizer steps of a turn.
        emit: Callback that receives a line of progress.
        entries: Contenders; ours are compared with all.

    Returns:
        What is written as JSON.
    """
    title = f"{task.network}, batch {task.batch_size}"
    turns: dict[str, list[Sample]] = {entry.name: [] for entry in entries}
    order = 0
    before = load_average()
    with ExitStack() as stack:
        contenders = []
        for entry in entries:
            emit(f"{title}: first steps of {entry.name}")
            contender = stack.enter_context(started(entry, task))
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
        "contenders": [_row(entry, turns) for entry in entries],
    }


def _row(entry: Entry, turns: dict[str, list[Sample]]) -> dict[str, Any]:
    name = entry.name
    return {
        "name": name,
        "precision": entry.told.get("precision", "auto"),
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
