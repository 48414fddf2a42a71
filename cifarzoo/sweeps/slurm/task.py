"""What a task of SLURM runs: a process that trains a cell, saved and queued again in time.

submitit calls the task and handles the task's signals: it catches SIGUSR2, which SLURM sends before
a time limit and schedulers send to make room, and lets SIGTERM pass. So the cell is trained by a
process of its own, which SIGTERM asks to save, and whose end is waited for.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from submitit.core.job_environment import JobEnvironment
from submitit.core.utils import DelayedSubmission, UncompletedJobError
from submitit.slurm.slurm import SlurmJobEnvironment

from cifarzoo.engine.distributed.signals import STOPPING
from cifarzoo.errors import EXIT_INTERRUPTED, EXIT_STOPPED, CifarzooError
from cifarzoo.run_folders.folder import CHECKPOINTS, saved_steps
from cifarzoo.sweeps.processes import Resources, RunProcess

MOST_FRUITLESS = 5  # times in a row that a cell may be queued again without a new checkpoint
SQUEUE_SECONDS = 30.0
# States of a job that SLURM isn't ending itself; of others it decides whether they start again.
GOING_ON = ("RUNNING", "SIGNALING")


class CellTask:
    """Trains a cell within a task; submitit pickles it, calls it, and asks for its checkpoint.

    Args:
        folder: Folder of the cell, the same on all hosts.
        resources: What its process may use.
        data: Folder of the data; None: not known.
    """

    def __init__(self, folder: Path, resources: Resources, *, data: Path | None) -> None:
        self._folder = folder
        self._resources = resources
        self._data = data
        self._step = -1  # of the newest checkpoint when it was last queued again
        self._fruitless = 0
        self._process: RunProcess | None = None

    def __getstate__(self) -> dict[str, Any]:
        """All but the process."""
        return {**self.__dict__, "_process": None}

    def __call__(self) -> None:
        """Train the cell; return when it is done.

        Raises:
            CifarzooError: It has failed, or was stopped again and again without getting further.
        """
        process = RunProcess(self._folder, self._resources, data=self._data)
        self._process = process
        try:
            if _was_stopped(process.wait()) and not _is_being_ended():
                # Somebody has asked the process alone: submitit does what it does when asked.
                signal.raise_signal(getattr(signal, f"SIG{JobEnvironment.USR_SIG}"))
        except UncompletedJobError:
            pass  # ``checkpoint`` gave submitit nothing to be queued again
        finally:
            process.kill()
            sys.stderr.write(process.words())
        code, words = process.wait(), process.last_words()
        process.close()
        if self._fruitless >= MOST_FRUITLESS:
            raise CifarzooError(
                f"{self._folder} was stopped {MOST_FRUITLESS} times in a row before it saved a new "
                "checkpoint; ask for more time"
            )
        if _was_stopped(code):
            sys.exit(EXIT_STOPPED)
        if code:
            raise CifarzooError(words or f"{self._folder} ended with exit code {code}")

    def checkpoint(self) -> DelayedSubmission | None:
        """Have the cell saved; submitit calls it in its handler, while ``__call__`` waits.

        Returns:
            What is to be queued again; None: nothing, since the cell has ended or gets no further.
        """
        if self._process is not None:
            self._process.stop()
            if not _was_stopped(self._process.wait()):
                return None
        step = max(saved_steps(self._folder / CHECKPOINTS), default=-1)
        self._fruitless = 0 if step > self._step else self._fruitless + 1
        self._step = step
        return DelayedSubmission(self) if self._fruitless < MOST_FRUITLESS else None


def _was_stopped(code: int) -> bool:
    """Whether a process was asked to stop; before it has begun, a signal simply ends it."""
    return code in (EXIT_STOPPED, EXIT_INTERRUPTED) or -code in STOPPING


def _is_being_ended() -> bool:
    """Whether SLURM is ending this job: it was cancelled, preempted, or has no more time.

    To queue it again is then SLURM's affair; it would take back what a user has cancelled.
    """
    environment = JobEnvironment()
    if environment.cluster != SlurmJobEnvironment.name():
        return False
    # Not by SLURM_JOB_ID: the last task of an array has the array's, which means all of them.
    job = environment.job_id
    words = ["squeue", "--noheader", "--format=%T", "--jobs", job]
    try:  # where SLURM can't be asked it can't queue anything either
        told = subprocess.run(  # noqa: S603
            words, capture_output=True, text=True, timeout=SQUEUE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    return told.stdout.strip() not in GOING_ON
