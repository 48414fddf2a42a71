"""The ranks of a run: one process is a world of size 1, so that the loop knows no other case."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from itertools import compress, groupby
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cifarzoo.engine.distributed.environment import (
    RankEnvironment,
    is_launched_by_us,
    is_worker,
    rank_environment,
)
from cifarzoo.engine.distributed.heartbeat import Heartbeat
from cifarzoo.engine.distributed.rendezvous import claim_rank, open_store, rendezvous
from cifarzoo.engine.distributed.store import RankStore, briefly
from cifarzoo.errors import CifarzooError, PeerLostError

T = TypeVar("T")
# A rank that lives may take long over a save; one that does not is noticed by its heartbeat.
LONGEST_WAIT = timedelta(minutes=30)
REPORT_SECONDS = 3.0
BUCKET_BYTES = 25 * 2**20  # of gradients that are averaged at once, as DDP has it


@dataclass(frozen=True)
class World:
    """The ranks that train together.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        device: Device on which this process trains.
        heartbeat: Heartbeats of the ranks; None: there is one rank.
    """

    rank: int
    size: int
    device: torch.device
    heartbeat: Heartbeat | None = None

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes files and reports."""
        return self.rank == 0

    def naming_lost_ranks(self) -> AbstractContextManager[None]:
        """Within ``with``, the error of a collective that lost a rank names it."""
        return self.heartbeat.naming_lost_ranks() if self.heartbeat else nullcontext()

    def gather(self, values: Tensor, group: Any = None) -> Tensor:
        """``values`` of every rank of ``group`` (default: all), stacked (R, ...)."""
        if self.size == 1:
            return values[None]
        parts = [torch.empty_like(values) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, values.contiguous(), group=group)
        return torch.stack(parts)

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

    def parallel(self, model: nn.Module, *, uses_all: bool) -> nn.Module:
        """``model``, with its gradients averaged over the ranks in the backward pass.

        Args:
            model: The network, whose weights become those of rank 0.
            uses_all: Whether every pass is known to use every parameter that is trained. DDP would
                wait for ever for one that isn't used; then the model itself is given, and
                ``average_gradients_`` does its work.
        """
        if self.size == 1:
            return model
        if not uses_all:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, src=0)
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

    def average_gradients_(self, parallel: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        """Average the gradients over the ranks, unless the backward pass of ``parallel`` did.

        A parameter that some ranks didn't use has a gradient of 0 there; one that none used keeps
        None, so that no optimizer touches it, as in one process.

        Args:
            parallel: What ``parallel`` gave.
            parameters: Parameters of the network, in the same order on every rank.
        """
        if self.size == 1 or isinstance(parallel, DistributedDataParallel):
            return
        is_there = torch.tensor([p.grad is not None for p in parameters], device=self.device)
        used = self.gather(is_there).any(0).tolist()
        gradients: list[Tensor] = []
        for parameter in compress(parameters, used):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket]) / self.size
            dist.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one type, in packets that are copied and sent at once."""
    for _, of_type in groupby(tensors, key=lambda tensor: tensor.dtype):
        bucket: list[Tensor] = []
        size = 0
        for tensor in of_type:
            if bucket and size + tensor.nbytes > BUCKET_BYTES:
                yield bucket
                bucket, size = [], 0
            bucket.append(tensor)
            size += tensor.nbytes
        yield bucket


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


@contextmanager
def init_distributed(
    fingerprint: Mapping[str, str] | None = None,
    *,
    while_waiting: Callable[[], None] = lambda: None,
) -> Iterator[World]:
    """Join the other ranks, if there are any, and leave them at the end.

    Args:
        fingerprint: Digests of what must be the same on every rank, by what it is called.
        while_waiting: Called again and again until all ranks are there.

    Raises:
        UsageError: The environment makes no sense, there is no store where it says, or
            ranks differ in ``fingerprint``.
        PeerLostError: Another rank ended or hangs.
    """
    here = rank_environment() if is_worker() else RankEnvironment(rank=0, size=1)
    device = pick_device(here.local_rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if here.size == 1:
        yield World(0, 1, device)
        return
    store, rank_store = open_store(here, while_waiting)
    claim_rank(rank_store, here)
    with _reported_once(rank_store, here):
        ranks = rendezvous(rank_store, here, fingerprint or {}, while_waiting)
        heartbeat = Heartbeat(rank_store, here.rank, ranks, patience=here.patience)
        heartbeat.exit_callbacks.append(
            lambda message: _report(rank_store, here, PeerLostError(message))
        )
        try:
            with heartbeat.running():
                dist.init_process_group(
                    store=store,
                    rank=here.rank,
                    world_size=here.size,
                    timeout=LONGEST_WAIT,
                    **group_options(device),
                )
                try:
                    yield World(here.rank, here.size, device, heartbeat)
                finally:
                    dist.destroy_process_group()
        finally:
            if here.hosts_store:
                heartbeat.wait_for_others()


def group_options(device: torch.device) -> dict[str, Any]:
    """How processes that train on ``device`` talk: the backend, and the GPU it may bind to."""
    if device.type == "cuda":
        return {"backend": "nccl", "device_id": device}
    return {"backend": "gloo"}


@contextmanager
def _reported_once(rank_store: RankStore, here: RankEnvironment) -> Iterator[None]:
    """Mark errors that another rank reports; under our launcher its parent reports all."""
    try:
        yield
    except Exception as error:
        is_first = is_launched_by_us() or _is_first_to_report(rank_store, here, error)
        if isinstance(error, CifarzooError):
            error.is_reported = not is_first
        # Whoever ends first makes a launcher end the others; without one, the store goes with
        # rank 0, while others may be asking it.
        if not is_first or here.hosts_store:
            time.sleep(REPORT_SECONDS)
        raise


def _is_first_to_report(rank_store: RankStore, here: RankEnvironment, error: Exception) -> bool:
    # A store that is gone went with its host: what all know was reported there.
    alone = isinstance(error, PeerLostError) and here.local_rank == 0
    return briefly(lambda: rank_store.claim("reported"), otherwise=alone)


def _report(rank_store: RankStore, here: RankEnvironment, error: CifarzooError) -> None:
    if not is_launched_by_us() and _is_first_to_report(rank_store, here, error):
        sys.stderr.write(f"{error}\n")
