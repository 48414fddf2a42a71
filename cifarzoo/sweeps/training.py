"""A sweep from what was asked for to cells that are trained."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifarzoo.engine.distributed.environment import is_worker, num_gpus
from cifarzoo.errors import ConfigError, UsageError
from cifarzoo.run_folders.sweep_record import read_sweep
from cifarzoo.sweeps.folders import check_cells, placed, write_cells, write_sweep
from cifarzoo.sweeps.plan import Asked, Cell, Point, plan_cells, plan_points
from cifarzoo.sweeps.processes import Resources
from cifarzoo.sweeps.scheduler import Slots
from cifarzoo.sweeps.search import Search, SearchSource, check_search, end_points
from cifarzoo.sweeps.shared import SharedSource
from cifarzoo.sweeps.storage import open_storage
from cifarzoo.sweeps.variations import check_variations

MOST_JOBS = 256
CELLS = "cells"  # what a study is of whose trials stand for cells


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Cells that are to be trained, checked, with nothing written yet.

    Attributes:
        asked: What was asked for.
        folder: Folder of the sweep.
        cells: Cells of the sweep, in the order in which they are trained.
        notes: What may not be meant, a line each.
    """

    asked: Asked
    folder: Path
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]


def plan_sweep(asked: Asked, folder: Path, *, data: Path | None, replaces: bool) -> Sweep:
    """Read and check all cells of a sweep; nothing is trained or written.

    Args:
        asked: What was asked for.
        folder: Folder of the sweep.
        data: Folder of the data; None: not known.
        replaces: Whether runs of another config or code make room for new ones.

    Raises:
        ConfigProblemsError: A config or a value can't be used: all problems, a line each.
        UsageError: Folders hold runs of another config, or this is no command for a rank.
    """
    _check_alone()
    read_sweep(folder)
    if ranges := [each for each in asked.variations if each.range]:
        raise UsageError(
            f"--vary {ranges[0]} is a range; give values, or search it by --search tpe"
        )
    points = plan_points(asked)
    _check_built([point.config for point in points], data)
    cells = placed(plan_cells(points, asked.seeds, folder), folder)
    notes = check_cells(cells, replaces=replaces)
    return Sweep(asked=asked, folder=folder, cells=tuple(cells), notes=tuple(notes))


def plan_search(
    asked: Asked,
    folder: Path,
    search: Search,
    *,
    url: str | None,
    data: Path | None,
    emit: Callable[[str], None],
) -> SearchSource:
    """Check both ends of what is searched, and open the storage of its trials.

    Args:
        asked: What was asked for.
        folder: Folder of the sweep.
        search: How values are chosen.
        url: Address of a database; None: a file in the folder.
        data: Folder of the data; None: not known.
        emit: Receives what should be known, a line each.

    Raises:
        ConfigProblemsError: A config or a value can't be used: all problems, a line each.
        UsageError: There are no validation images, or the storage can't be used.
    """
    _check_alone()
    before = read_sweep(folder)
    check_variations(asked.variations)
    points = end_points(asked)
    check_search(asked, points)
    _check_built([point.config for point in points], data)
    identity = _identity_of(asked, points)
    if not before:
        write_sweep(folder, asked)  # makes the folder
    storage = open_storage(
        folder, url=url, sampler=search.sampler, seed=search.seed, identity=identity, emit=emit
    )
    return SearchSource(asked, folder, search, storage, emit)


def share(
    sweep: Sweep, slots: Slots, *, url: str, retry: bool, emit: Callable[[str], None]
) -> SharedSource:
    """Offer the cells of a sweep to all hosts that share a database.

    Args:
        sweep: Cells of the sweep.
        slots: Processes side by side on this host.
        url: Address of the database.
        retry: Whether those that have failed are trained again.
        emit: Receives what should be known, a line each.

    Raises:
        UsageError: The database can't be used.
    """
    threads = slots.resources[0].threads
    write_sweep(sweep.folder, sweep.asked, sweep.cells, threads=threads)
    storage = open_storage(
        sweep.folder, url=url, sampler="random", seed=0, identity=CELLS, emit=emit
    )
    return SharedSource(sweep.cells, sweep.folder, storage, retry=retry)


def begin_search(source: SearchSource, slots: Slots) -> None:
    """Write what was asked for.

    Raises:
        UsageError: The folder can't be written to.
    """
    threads = slots.resources[0].threads
    write_sweep(source.folder, source.asked, threads=threads, search=source.facts)


def _check_alone() -> None:
    if is_worker():
        raise UsageError("sweep starts its own processes; it can't be started by torchrun")


def _identity_of(asked: Asked, points: Sequence[Point]) -> str:
    """A digest of what is searched: configs at the ends of every range, plugins, seeds."""
    texts = [*map(str, asked.variations), str(asked.seeds)]
    for point in points:
        texts += [point.config.text(), *(each.sha256 for each in point.config.plugin_files())]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def plan_slots(
    folder: Path,
    *,
    jobs: int | None,
    threads: int | None,
    nproc: int | None,
    data: Path | None,
    emit: Callable[[str], None],
) -> Slots:
    """How many cells are trained side by side, and what each may use.

    Without GPUs cores are shared out: a cell has as many threads as when the sweep was begun,
    for the number of threads is part of what makes bits equal.

    Args:
        folder: Folder of the sweep.
        jobs: Number of cells side by side; None: as many as GPUs allow, or one.
        threads: Threads of a cell; None: those of before, or an equal share of the cores.
        nproc: Processes that train a cell together; None: one.
        data: Folder of the data; None: not known.
        emit: Receives what may not be meant.

    Raises:
        UsageError: Numbers are out of range.
    """
    gpus = num_gpus()
    together = 1 if nproc is None else nproc
    if together < 1 or (gpus and together > gpus):
        raise UsageError(f"--nproc is {together}; expected 1 to {max(1, gpus)}")
    jobs = max(1, gpus // together) if jobs is None else jobs
    if not 1 <= jobs <= MOST_JOBS:
        raise UsageError(f"--jobs is {jobs}; expected 1 to {MOST_JOBS}")
    if threads is not None and threads < 1:
        raise UsageError(f"--threads is {threads}; expected at least 1")
    if gpus:
        places = [
            tuple((job * together + k) % gpus for k in range(together)) for job in range(jobs)
        ]
        return Slots(
            resources=tuple(
                Resources(devices=each, nproc=together, threads=threads) for each in places
            ),
            data=data,
        )
    cores = len(os.sched_getaffinity(0))
    share = max(1, cores // (jobs * together))
    before = read_sweep(folder).get("threads")
    chosen = threads or before or share
    if chosen * jobs * together > max(cores, before or 0) and chosen > 1:
        emit(
            f"{jobs} cells of {chosen} threads are more than the {cores} cores here, and far "
            "slower than fewer"
        )
    if threads and before and threads != before:
        emit(f"cells had {before} threads before and have {threads} from here on: bits may differ")
    return Slots(resources=(Resources(threads=chosen, nproc=nproc),) * jobs, data=data)


def begin(sweep: Sweep, slots: Slots, *, replaces: bool) -> None:
    """Write the folders of all cells, and what was asked for.

    Raises:
        UsageError: A folder can't be written to, holds other files, or is in use.
    """
    threads = slots.resources[0].threads
    write_sweep(sweep.folder, sweep.asked, sweep.cells, threads=threads)
    write_cells(sweep.cells, folder=sweep.folder, replaces=replaces)


def _check_built(configs: Sequence[Any], data: Path | None) -> None:
    """Refuse values out of their ranges before the first cell: all that are, a line each."""
    from cifarzoo.engine.assembly.describe import describe

    problems = []
    for config in configs:
        try:
            with config.locating():
                describe(config.build(), data=data)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise UsageError(*dict.fromkeys(problems))
