"""The ranks of a run: one process is a world of size 1, so that the loop knows no other case."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import FileStore
from torch.nn.parallel import DistributedDataParallel

from cifarzoo.errors import CifarzooError, UsageError

T = TypeVar("T")
STORE = "CIFARZOO_STORE"  # the launcher's private folder: rendezvous files and error notes
MOST_PER_CORE = 4
START_TIMEOUT = timedelta(seconds=300)  # slow file systems and imports


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
    """Whether this process was started as one of several ranks, by us or by torchrun."""
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
    cores = os.cpu_count() or 1
    if not gpus and nproc > MOST_PER_CORE * cores:  # each holds a torch: memory goes first
        raise UsageError(f"--nproc is {nproc}, and this machine has {cores} cores and no GPU")
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
