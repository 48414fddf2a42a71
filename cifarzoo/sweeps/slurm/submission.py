"""The cells of a sweep as tasks of SLURM, submitted once each by submitit.

Which job a cell was last submitted as is kept in the sweep's folder, and whether that job is still
queued is asked of SLURM. How far a cell is, its folder says, as everywhere.
"""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from filelock import FileLock, Timeout
from pydantic_core import from_json

from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.files.real_folder import RealFolder
from cifarzoo.run_folders.strict_json import strict_json
from cifarzoo.sweeps.plan import Cell
from cifarzoo.sweeps.processes import Resources
from cifarzoo.sweeps.slurm.demands import Demands
from cifarzoo.sweeps.states import standing

if TYPE_CHECKING:
    from submitit import Job

JOBS_FOLDER = ".slurm"  # in a sweep's folder: what submitit writes, and JOBS
JOBS = "jobs.json"
LOCK = ".lock"
LOCK_SECONDS = 5.0
MOST_JOBS_BYTES = 16 << 20
MOST_AT_ONCE = 1000  # cells of an array job; SLURM takes arrays of 1001 unless it is told otherwise
MOST_TIMEOUTS = 10**6  # submitit's own bound; ours is that a cell gets further
SQUEUE_SECONDS = 60.0
COMMANDS = ("sbatch", "srun", "squeue", "scontrol")


class Executor(Protocol):
    """What submits tasks: an executor of submitit."""

    def submit_array(self, fns: Sequence[Callable[[], None]]) -> Sequence[Job[None]]:
        """Submit all of them at once."""


Queue: TypeAlias = Callable[[], Mapping[str, str]]  # gives the states of queued jobs, by id


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What became of the cells that a sweep was to submit.

    Attributes:
        new: Jobs by name of the cells that were submitted now.
        queued: Jobs by name of the cells that were queued before, or are running.
        left: Number of cells that wait for a later command: too many for one array.
    """

    new: Mapping[str, str]
    queued: Mapping[str, str]
    left: int

    @property
    def jobs(self) -> dict[str, str]:
        """The job of each cell that is queued or running, by name of the cell."""
        return {**self.queued, **self.new}


def executor(folder: Path, resources: Resources, demands: Demands, *, jobs: int | None) -> Executor:
    """What submits the tasks of a sweep.

    Args:
        folder: Folder of the sweep.
        resources: What a cell may use.
        demands: What each task asks for.
        jobs: Cells that are trained at once; None: as many as SLURM lets.

    Raises:
        UsageError: submitit isn't installed, this is no machine of a cluster, the folder has a
            name that SLURM takes for a pattern, or ``jobs`` is out of range.
    """
    if jobs is not None and not 1 <= jobs <= MOST_AT_ONCE:
        raise UsageError(f"--jobs is {jobs}; expected 1 to {MOST_AT_ONCE}")
    if "%" in str(folder.absolute()):
        raise UsageError(f"{folder.absolute()} has a %, which SLURM takes for a pattern")
    if importlib.util.find_spec("submitit") is None:
        raise UsageError("--slurm needs submitit: pip install 'cifarzoo[slurm]'")
    if missing := [each for each in COMMANDS if not shutil.which(each)]:
        raise UsageError(
            f"--slurm needs {missing[0]}, which isn't found here; submit from a machine of the "
            "cluster"
        )
    from submitit import SlurmExecutor

    cpus = (resources.threads or 1) * (resources.nproc or 1)
    # -P: what lies in the current folder isn't imported.
    found = SlurmExecutor(
        _jobs_folder(folder),
        max_num_timeout=MOST_TIMEOUTS,
        python=f"{shlex.quote(sys.executable)} -P",
    )
    found.update_parameters(
        time=demands.minutes,
        signal_delay_s=demands.signal_seconds,
        job_name="cifarzoo",
        cpus_per_task=cpus,
        srun_args=[f"--cpus-per-task={cpus}"],  # which srun doesn't take from sbatch any more
        array_parallelism=jobs or MOST_AT_ONCE,
        additional_parameters={"requeue": True, **demands.options},
    )
    return found


def queued_jobs() -> dict[str, str]:
    """The states of this user's jobs in SLURM's queue, by id.

    Raises:
        CifarzooError: SLURM gives no answer.
    """
    words = ["squeue", "--me", "--noheader", "--array", "--format=%i %T"]
    try:
        told = subprocess.run(  # noqa: S603
            words, capture_output=True, text=True, timeout=SQUEUE_SECONDS, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise CifarzooError(f"squeue gave no answer for {SQUEUE_SECONDS:.0f} seconds") from error
    except subprocess.CalledProcessError as error:
        raise CifarzooError(f"squeue failed: {_in_a_line(error.stderr)}") from error
    return dict(line.split(maxsplit=1) for line in told.stdout.splitlines() if " " in line)


def submit(
    cells: Sequence[Cell],
    folder: Path,
    resources: Resources,
    *,
    data: Path | None,
    retry: bool,
    by: Executor,
    queue: Queue,
) -> Submitted:
    """Submit the cells that are neither done nor queued, an array job for all.

    Args:
        cells: Cells of the sweep, whose folders are written.
        folder: Folder of the sweep.
        resources: What a cell may use.
        data: Folder of the data; None: not known.
        retry: Whether cells that have failed are submitted too.
        by: What submits tasks.
        queue: Gives the states of queued jobs.

    Raises:
        CifarzooError: SLURM refuses, or gives no answer.
    """
    from cifarzoo.sweeps.slurm.task import CellTask

    with _locked(folder):
        known = read_jobs(folder)
        states = queue()
        queued = {c.name: known[c.name] for c in cells if known.get(c.name) in states}
        wanted = ("waiting", "interrupted", *(["failed"] if retry else []))
        missing = [c for c in cells if c.name not in queued and standing(c).state in wanted]
        chosen = missing[:MOST_AT_ONCE]
        where = None if data is None else data.absolute()
        tasks = [CellTask(cell.folder.absolute(), resources, data=where) for cell in chosen]
        ids = _submit(tasks, by) if tasks else []
        new = dict(zip((cell.name for cell in chosen), ids, strict=True))
        if new:
            _write_jobs(folder, {**known, **new})
    return Submitted(new=new, queued=queued, left=len(missing) - len(chosen))


def read_jobs(folder: Path) -> dict[str, str]:
    """The job that each cell was last submitted as, by name of the cell.

    Raises:
        UsageError: The file of them makes no sense.
    """
    path = _jobs_folder(folder) / JOBS
    try:
        found = from_json(RealFolder(path.parent).read(JOBS, at_most=MOST_JOBS_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}; put it back, or take it away once none of the "
            "sweep's jobs is queued"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise UsageError(f"{path} is no list of jobs; put back what the sweep wrote")
    return found


def log_of(folder: Path, job: str) -> Path:
    """Where a job writes what goes wrong."""
    return _jobs_folder(folder) / f"{job}_0_log.err"


def _jobs_folder(folder: Path) -> Path:
    return folder.absolute() / JOBS_FOLDER


def _submit(tasks: Sequence[Callable[[], None]], by: Executor) -> list[str]:
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        with redirect_stderr(StringIO()):  # submitit prints what is in the error too
            return [str(job.job_id) for job in by.submit_array(tasks)]
    except (FailedJobError, FailedSubmissionError) as error:
        raise CifarzooError(f"SLURM took no jobs: {_in_a_line(str(error))}") from error


def _write_jobs(folder: Path, jobs: Mapping[str, str]) -> None:
    try:
        files = RealFolder(_jobs_folder(folder))
        files.sweep(JOBS)
        files.replace(JOBS, (strict_json(jobs, indent=1) + "\n").encode())
    except OSError as error:
        ids = ", ".join(sorted({job.partition("_")[0] for job in jobs.values()}))
        raise CifarzooError(
            f"{folder} cannot be written to: {error.strerror}; cells are queued already, as {ids}"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep a second command from submitting the same cells."""
    jobs = _jobs_folder(folder)
    lock = FileLock(jobs / LOCK, timeout=LOCK_SECONDS)
    try:
        jobs.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise UsageError(f"another command submits cells of {folder}; wait for it") from error
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def _in_a_line(text: str) -> str:
    return (
        "; ".join(line.strip() for line in text.splitlines() if line.strip()) or "no reason given"
    )
