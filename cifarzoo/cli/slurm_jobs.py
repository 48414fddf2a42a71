"""``sweep --slurm``: the cells as tasks of SLURM, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifarzoo.cli.terminal import console
from cifarzoo.cli.terminal.units import plural
from cifarzoo.errors import UsageError
from cifarzoo.results.comparing.groups import Metric

if TYPE_CHECKING:
    from cifarzoo.sweeps.slurm.submission import Executor, Submitted
    from cifarzoo.sweeps.training import Sweep

Slurm = Annotated[
    bool,
    typer.Option(
        "--slurm",
        help="Submit the cells to SLURM, a task each of an array job, and stop; those that are "
        "queued already aren't submitted again.",
    ),
]
SlurmSets = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm-set",
        metavar="NAME=VALUE",
        help="An option of sbatch, as partition=gpu, gpus-per-node=1 or time=4:00:00 (default: an "
        "hour); repeatable.",
        show_default=False,
    ),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="With --slurm: look on until all cells have ended.")
]


def check_slurm_options(
    *, slurm: bool, sets: Sequence[str] | None, wait: bool, others: Mapping[str, object]
) -> None:
    """Refuse options that mean nothing with, or without, ``--slurm``.

    Args:
        slurm: Whether ``--slurm`` was given.
        sets: Options of sbatch.
        wait: Whether ``--wait`` was given.
        others: Values of options that ``--slurm`` doesn't go with, by name.

    Raises:
        UsageError: One was given.
    """
    if slurm and (odd := [option for option, value in others.items() if value]):
        raise UsageError(f"{odd[0]} doesn't go with --slurm, which submits cells known before")
    if sets and not slurm:
        raise UsageError("--slurm-set needs --slurm")
    if wait and not slurm:
        raise UsageError("--wait needs --slurm; without it sweep always waits")


class SlurmJobs:
    """Where the cells of a sweep are sent by ``--slurm``, checked before anything is written.

    Args:
        folder: Folder of the sweep.
        sets: Options of sbatch.
        jobs: Cells that are trained at once; None: as many as SLURM lets.
        threads: Threads of a cell's process; None: those of before, or 1.
        nproc: Processes that train a cell; None: one a GPU.
        data: Folder of the data; None: not known.

    Attributes:
        slots: What a cell may use.
    """

    def __init__(
        self,
        folder: Path,
        sets: Sequence[str],
        *,
        jobs: int | None,
        threads: int | None,
        nproc: int | None,
        data: Path | None,
    ) -> None:
        from cifarzoo.sweeps.scheduler import Slots
        from cifarzoo.sweeps.slurm.demands import parse_demands, plan_resources
        from cifarzoo.sweeps.slurm.submission import executor

        demands = parse_demands(sets)
        resources = plan_resources(folder, demands, threads=threads, nproc=nproc, emit=console.warn)
        self._executor: Executor = executor(folder, resources, demands, jobs=jobs)
        self.slots = Slots(resources=(resources,), data=data)
        self._jobs = jobs

    def submit(self, planned: Sweep, *, retry: bool) -> Submitted:
        """Submit the cells that are neither done nor queued, and say so."""
        from cifarzoo.sweeps.slurm.submission import JOBS_FOLDER, queued_jobs, submit

        found = submit(
            planned.cells,
            planned.folder,
            self.slots.resources[0],
            data=self.slots.data,
            retry=retry,
            by=self._executor,
            queue=queued_jobs,
        )
        if found.new:
            ids = _ids(found.new.values())
            console.note(f"{plural(len(found.new), 'cell')} submitted as {ids}")
        if found.queued:
            ids = _ids(found.queued.values())
            console.note(f"{plural(len(found.queued), 'cell')} queued or running as {ids}")
        if found.left:
            console.warn(
                f"{plural(found.left, 'cell')} left over: the same command submits them later"
            )
        if found.jobs:
            console.note(
                f"squeue --me lists them, logs are in {planned.folder / JOBS_FOLDER}; "
                "the same command says how far they are, and with --wait looks on"
            )
        return found

    def watch(self, planned: Sweep, submitted: Submitted, metric: Metric) -> str:
        """Look on until all have ended; the name of the signal that stopped that, or nothing."""
        from cifarzoo.cli.terminal.sweep_progress import SweepProgress
        from cifarzoo.sweeps.slurm.submission import queued_jobs
        from cifarzoo.sweeps.slurm.watching import QueuedCells, watch

        queued = QueuedCells(planned.cells, submitted.jobs, planned.folder)
        at_once = min(len(submitted.jobs) or 1, self._jobs or len(planned.cells))
        hint = "Ctrl-C leaves them to SLURM"
        with SweepProgress(planned.cells, metric, at_once, hint=hint) as progress:
            stopped = watch(
                queued, progress, queue=queued_jobs, warn=console.warn, refresh=progress.refresh
            )
        if stopped:
            console.note(
                f"the jobs go on; scancel {_ids(submitted.jobs.values(), separator=' ')} ends "
                "them, with all saved"
            )
        return stopped


def _ids(jobs: Iterable[str], *, separator: str = ", ") -> str:
    """The ids of jobs, each array once."""
    found = list(dict.fromkeys(each.partition("_")[0] for each in jobs))
    return separator.join(found)
