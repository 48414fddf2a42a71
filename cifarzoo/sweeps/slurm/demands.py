"""What tasks ask SLURM for, and what a cell may use there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cifarzoo.errors import UsageError
from cifarzoo.run_folders.sweep_record import read_sweep
from cifarzoo.sweeps.processes import Resources

MINUTES = 60  # of a task, unless it is said; a cell that takes longer goes on in the next one
SIGNAL_SECONDS = 90  # before the end of its time that a task is told
NAME = re.compile(r"[a-z][a-z0-9_-]*")
TIME = re.compile(r"(?:(\d{1,4})-)?(\d{1,6})(?::(\d{1,6}))?(?::(\d{1,6}))?")
IN_FOLDER = "logs are in .slurm, in the sweep's folder"
ALWAYS = "cells that are stopped are always queued again"
# What a sweep sets itself, and what is given instead.
OF_SWEEPS = {
    "array": "-j says how many cells are trained at once",
    "cpus_per_task": "--threads and --nproc say how many cores a cell has",
    "nodes": "a cell is trained on one node",
    "ntasks": "a cell is one task",
    "ntasks_per_node": "a cell is one task",
    "signal": "tasks are told by SIGUSR2; signal_delay_s says how many seconds before the end",
    "requeue": ALWAYS,
    "no_requeue": ALWAYS,
    "output": IN_FOLDER,
    "error": IN_FOLDER,
    "open_mode": IN_FOLDER,
}


@dataclass(frozen=True, kw_only=True)
class Demands:
    """What each task asks SLURM for.

    Attributes:
        minutes: Minutes after which it is stopped, saved, and queued again.
        signal_seconds: Seconds before the end of that time at which it is told.
        options: Options of sbatch by name, with ``_`` for ``-``; True: one without a value.
    """

    minutes: int = MINUTES
    signal_seconds: int = SIGNAL_SECONDS
    options: Mapping[str, str | bool] = field(default_factory=dict)

    @property
    def num_gpus(self) -> int:
        """GPUs of a task, as far as its options say it in plain numbers."""
        for name in ("gpus_per_node", "gpus_per_task", "gpus"):
            number = str(self.options.get(name, "")).rpartition(":")[2]
            if number.isdecimal():
                return int(number)
        return 0


def parse_demands(texts: Sequence[str]) -> Demands:
    """What ``--slurm-set NAME=VALUE`` asks for.

    Args:
        texts: Options of sbatch without their dashes, as ``partition=gpu`` or ``exclusive``.

    Raises:
        UsageError: One makes no sense, or is set by the sweep itself.
    """
    options: dict[str, str | bool] = {}
    for text in texts:
        given, separator, value = text.partition("=")
        name = given.strip().replace("-", "_")
        is_flag = not separator
        if not NAME.fullmatch(name) or not (is_flag or value.strip()) or not value.isprintable():
            raise UsageError(
                f"--slurm-set is {text!r}; expected an option of sbatch, as partition=gpu"
            )
        if reason := OF_SWEEPS.get(name):
            raise UsageError(f"--slurm-set {given.strip()} can't be set: {reason}")
        options[name] = True if is_flag else value.strip()
    minutes = _minutes(str(options.pop("time", MINUTES)))
    seconds = str(options.pop("signal_delay_s", min(SIGNAL_SECONDS, 20 * minutes)))
    if not seconds.isdecimal() or not 0 < int(seconds) < 60 * minutes:
        raise UsageError(
            f"--slurm-set signal_delay_s is {seconds!r}; expected seconds, less than the time"
        )
    return Demands(minutes=minutes, signal_seconds=int(seconds), options=options)


def plan_resources(
    folder: Path,
    demands: Demands,
    *,
    threads: int | None,
    nproc: int | None,
    emit: Callable[[str], None],
) -> Resources:
    """What a cell may use on a node of the cluster.

    Args:
        folder: Folder of the sweep.
        demands: What each task asks for.
        threads: Threads of a cell's process; None: those of before, or 1.
        nproc: Processes that train a cell; None: one a GPU.
        emit: Receives what may not be meant.

    Raises:
        UsageError: Numbers are out of range.
    """
    gpus = demands.num_gpus
    together = nproc if nproc is not None else max(1, gpus)
    if together < 1 or (gpus and together > gpus):
        raise UsageError(f"--nproc is {together}; expected 1 to {max(1, gpus)}")
    if threads is not None and threads < 1:
        raise UsageError(f"--threads is {threads}; expected at least 1")
    before = read_sweep(folder).get("threads")
    if threads and before and threads != before:
        emit(f"cells had {before} threads before and have {threads} from here on: bits may differ")
    return Resources(threads=threads or before or 1, nproc=together if together > 1 else None)


def _minutes(text: str) -> int:
    """Minutes as SLURM reads them: 90, 90:00, 1:30:00, 1-6, 1-6:30."""
    found = TIME.fullmatch(text)
    if not found:
        raise UsageError(
            f"--slurm-set time is {text!r}; expected minutes, HOURS:MINUTES:SECONDS or DAYS-HOURS"
        )
    days, *rest = found.groups()
    parts = [int(each) for each in rest if each is not None]
    if days is not None:
        seconds = 86400 * int(days) + sum(n * u for n, u in zip(parts, (3600, 60, 1), strict=False))
    elif len(parts) == 3:
        seconds = 3600 * parts[0] + 60 * parts[1] + parts[2]
    else:
        seconds = 60 * parts[0] + sum(parts[1:])
    if seconds < 60:
        raise UsageError(f"--slurm-set time is {text!r}; expected at least a minute")
    return -(-seconds // 60)
