"""The ranks of a run: one process is a world of size 1, so that the loop knows no other case.

Also how several processes are launched on one host. The only module that imports
``torch.distributed``.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import FileStore
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.nn.parallel import DistributedDataParallel

from cifarzoo.errors import (
    EXIT_FAILED,
    EXIT_STOPPED,
    CifarzooError,
    UsageError,
)

T = TypeVar("T")
STORE = "CIFARZOO_STORE"  # the launcher's private folder: rendezvous files and error notes
SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2"
START_TIMEOUT = timedelta(seconds=300)  # slow file systems and imports
MONITOR_SECONDS = 0.1
SHUTDOWN_SECONDS = 300  # a rank that got a signal ends its step and saves first


@dataclass(frozen=True)
class World:
    """The ranks that train together.

    Attributes:
        rank: This process's number, from 0.
        size: Number of processes.
        device: Where this process trains.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes files and reports."""
        return self.rank == 0

    def gather(self, values: Tensor, group: Any = None) -> Tensor:
        """``values`` of every rank of ``group`` (default: all), stacked (R, ...)."""
        if self.size == 1:
            return values[None]
        parts = [torch.empty_like(values) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, values.contiguous(), group=group)
        return torch.stack(parts)

    def gather_numbers(self, *numbers: float) -> Tensor:
        """A few numbers of every rank: float64 (size, len(numbers)), on the CPU."""
        values = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        return self.gather(values).cpu()

    def average_(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its mean over all ranks; the order of the sum is fixed."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        mean = self.gather(flat).mean(0)
        for tensor, part in zip(
            tensors, torch.split(mean, [t.numel() for t in tensors]), strict=True
        ):
            tensor.copy_(part.view_as(tensor))

    def broadcast(self, value: Any) -> Any:
        """Rank 0's picklable ``value``."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def on_main(self, work: Callable[[], T]) -> T:
        """What ``work`` gives on rank 0, where alone it is called; what it raises, all raise."""
        answer: tuple[T | None, CifarzooError | None] = (None, None)
        if self.is_main:
            try:
                answer = (work(), None)
            except CifarzooError as error:
                answer = (None, error)
        value, raised = self.broadcast(answer)
        if raised is not None:
            raise raised
        given: T = value
        return given

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            dist.barrier()

    def groups_of(self, num_ranks: int) -> Callable[[Tensor], Tensor] | None:
        """How the ranks of this rank's group of ``num_ranks`` stack a tensor; None: alone."""
        if num_ranks == 1:
            return None
        if num_ranks == self.size:
            return self.gather
        mine = None
        for first in range(0, self.size, num_ranks):
            members = list(range(first, first + num_ranks))
            group = dist.new_group(members)  # every rank has to take part in making every group
            mine = group if self.rank in members else mine
        return lambda values: self.gather(values, mine)

    def parallel(self, model: nn.Module) -> nn.Module:
        """``model``, with its gradients averaged over the ranks."""
        if self.size == 1:
            return model
        # Our BatchNorm and the engine look after buffers; torch 2.14 renamed the argument.
        names = inspect.signature(DistributedDataParallel).parameters
        sync = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
        options: dict[str, Any] = {sync: False}
        return DistributedDataParallel(
            model,
            device_ids=[self.device.index] if self.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            **options,
        )


@contextmanager
def unsynchronised(model: nn.Module, active: bool) -> Iterator[None]:
    """While ``active``, let gradients add up on each rank, as all but the last micro-batch do."""
    if active and isinstance(model, DistributedDataParallel):
        with model.no_sync():
            yield
    else:
        yield


def pick_device(local_rank: int = 0) -> torch.device:
    """The GPU of this process, or the CPU where there is none."""
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank)
    return torch.device("cpu")


def is_worker() -> bool:
    """Whether this process was started as one of several ranks, by us, torchrun or SLURM."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_launched_by_us() -> bool:
    """Whether a parent of ours counts the Ctrl-Cs, which reach this process twice."""
    return STORE in os.environ


def world_size_here(nproc: int | None) -> int:
    """How many ranks ``--nproc`` means, or the environment of a worker says.

    Raises:
        UsageError: More than the GPUs, fewer than one, or an environment that makes no sense.
    """
    if is_worker():
        return _rank_environment()["WORLD_SIZE"]
    gpus = torch.cuda.device_count()
    if nproc is None:
        return max(1, gpus)
    if nproc < 1:
        raise UsageError(f"--nproc is {nproc}; expected at least 1")
    if gpus and nproc > gpus:
        raise UsageError(f"--nproc is {nproc}, and this machine has {gpus} GPUs")
    return nproc


@contextmanager
def joined() -> Iterator[World]:
    """Join the other ranks, if there are any, and leave them at the end.

    Raises:
        UsageError: RANK, WORLD_SIZE or LOCAL_RANK are missing, no numbers or out of range.
    """
    if not is_worker():
        yield World(0, 1, pick_device())
        return
    env = _rank_environment()
    device = pick_device(env["LOCAL_RANK"])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    store, rank, size = None, env["RANK"], env["WORLD_SIZE"]
    if is_launched_by_us():
        store = FileStore(str(Path(os.environ[STORE]) / "ranks"), size)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=START_TIMEOUT)
    try:
        yield World(rank, size, device)
    finally:
        dist.destroy_process_group()


def _rank_environment() -> dict[str, int]:
    numbers = {}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        text = os.environ.get(name, "0" if name == "LOCAL_RANK" else "")
        if not text.isdecimal():
            raise UsageError(f"the environment's {name} is {text!r}; expected a number")
        numbers[name] = int(text)
    if numbers["RANK"] >= numbers["WORLD_SIZE"]:
        raise UsageError(
            f"the environment's RANK is {numbers['RANK']}; expected less than WORLD_SIZE, "
            f"which is {numbers['WORLD_SIZE']}"
        )
    return numbers


def launch(work: Callable[[Any], None], job: Any, *, nproc: int) -> int:
    """Run ``work(job)`` in ``nproc`` processes on this host; give the exit code.

    torch's elastic launcher, without a network port: the ranks meet in files of a private
    folder and talk over loopback.

    Args:
        work: A module's function, so that a new process can import it.
        job: Its picklable argument.
        nproc: Number of processes.

    Raises:
        CifarzooError: What the first rank to fail raised; a bug's traceback is on stderr.
    """
    with tempfile.TemporaryDirectory(prefix="cifarzoo-") as folder:
        # Handed over, since a fork server keeps the environment that it was started with.
        environment = {STORE: folder, "GLOO_SOCKET_IFNAME": "lo", **os.environ}
        threads = str(max(1, (os.cpu_count() or 1) // nproc))
        environment.setdefault("OMP_NUM_THREADS", threads)
        os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")  # or restarts fail
        # One import of torch for all ranks; plain fork is unsafe once OpenMP has run.
        get_context("forkserver").set_forkserver_preload([work.__module__])
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=nproc,
            run_id=Path(folder).name,
            rdzv_backend="c10d",
            rdzv_endpoint=str(Path(folder) / "rendezvous"),
            rdzv_configs={"store_type": "file"},
            local_addr="localhost",
            max_restarts=0,
            monitor_interval=MONITOR_SECONDS,
            start_method="forkserver",
            signals_to_handle=SIGNALS,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        _quieten_launcher()
        try:
            elastic_launch(config, _worker)(work, job, environment)
        except SignalException:
            return _exit_code_after_signal(Path(folder))
        except ChildFailedError as error:
            return _exit_code_of(error, Path(folder))
    return 0


def _quieten_launcher() -> None:
    """Keep torch's launcher from telling of each process it ends; we tell why, once."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("torch.distributed.elastic", "torch.multiprocessing")):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # each has a level of its own


def _worker(work: Callable[[Any], None], job: Any, environment: dict[str, str]) -> None:
    """One rank: what it raises is noted for the parent, which alone reports it."""
    for name, value in environment.items():
        os.environ.setdefault(name, value)  # the agent's own, such as RANK, stand
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    try:
        work(job)
    except CifarzooError as error:
        _note(exit_code=error.exit_code, message=str(error))
        # A function that returns after a signal waits for the agent, which waits for it.
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        if _lost_a_peer(error):
            time.sleep(10 * MONITOR_SECONDS)  # let the parent see first whose death it was
        else:  # a bug, whose traceback torch's launcher would keep to itself
            message = f"rank {os.environ['RANK']} raised {type(error).__name__}: {error}"
            _note(exit_code=EXIT_FAILED, message=message, traceback=traceback.format_exc())
        raise SystemExit(EXIT_FAILED) from None


def _lost_a_peer(error: Exception) -> bool:
    return isinstance(error, dist.DistBackendError) or "gloo/transport" in str(error)


def _note(**note: Any) -> None:
    path = Path(os.environ[STORE]) / f"error-{os.environ['RANK']}.json"
    path.write_text(json.dumps(note), encoding="utf-8")


def _notes(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("error-*.json"))]


def _exit_code_after_signal(folder: Path) -> int:
    notes = _notes(folder)
    stopped = [note for note in notes if note["exit_code"] == EXIT_STOPPED]
    return EXIT_STOPPED if stopped else EXIT_FAILED


def _exit_code_of(error: ChildFailedError, folder: Path) -> int:
    for note in _notes(folder):
        if note["exit_code"] == EXIT_STOPPED:
            return EXIT_STOPPED
        sys.stderr.write(note.get("traceback", ""))
        raised = CifarzooError(note["message"])
        raised.exit_code = note["exit_code"]
        raise raised from None
    rank, failure = error.get_first_failure()
    code = failure.exitcode
    reason = failure.signal_name() if code < 0 else f"exit code {code}"
    raise CifarzooError(
        f"rank {rank} ended with {reason}; cifarzoo resume goes on from the last checkpoint"
    ) from None
