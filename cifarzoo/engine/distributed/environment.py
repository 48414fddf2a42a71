"""Which rank this process is, as launchers set it in the environment; checked before any socket."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass

from cifarzoo.errors import CifarzooError, UsageError

STORE = "CIFARZOO_STORE"  # our launcher's private folder, with the store of its ranks
RESTARTS = "CIFARZOO_RESTARTS"  # of our launcher: "done allowed"
PATIENCE = "CIFARZOO_PATIENCE"
SLURM = {  # of a task that srun started; a batch script itself has no SLURM_STEP_NUM_TASKS
    "RANK": "SLURM_PROCID",
    "WORLD_SIZE": "SLURM_STEP_NUM_TASKS",
    "LOCAL_RANK": "SLURM_LOCALID",
}
MEETING_POINT = ("MASTER_ADDR", "MASTER_PORT")
LEAST_PATIENCE = 5  # a busy machine keeps a process waiting for a second or two
GIVE_WAY_SECONDS = 20.0
MOST_PER_CORE = 4
LARGEST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class RankEnvironment:
    """The place of this process among the ranks.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of ranks.
        local_rank: Number of this process on this host.
        address: Host of the store; empty where no network is needed.
        port: Port of the store on that host.
        agent_hosts: Whether a launcher has opened the store; otherwise rank 0 does.
        patience: Seconds after which a rank that sends no sign of life is taken for lost.
    """

    rank: int
    size: int
    local_rank: int = 0
    address: str = ""
    port: int = 0
    agent_hosts: bool = False
    patience: float = 45.0

    @property
    def hosts_store(self) -> bool:
        """Whether this process opens the store, to which the others connect."""
        return self.rank == 0 and bool(self.port) and not self.agent_hosts


def is_worker() -> bool:
    """Whether this process was started as one of several ranks, by us, by torchrun or by srun.

    Tasks of srun are ranks if the environment says where they meet; otherwise each is alone, as
    those that train a seed each.
    """
    return _has_rank() or (_num_tasks() != "1" and any(n in os.environ for n in MEETING_POINT))


def lone_task() -> str:
    """That each of the tasks that srun started trains for itself; empty: this is none of them."""
    size = _num_tasks()
    if is_worker() or size == "1":
        return ""
    return (
        f"SLURM started {size} tasks, and each trains for itself: {size} tasks are {size} "
        f"trainings; export {' and '.join(MEETING_POINT)} to have them train together"
    )


def _has_rank() -> bool:
    return "RANK" in os.environ or "WORLD_SIZE" in os.environ


def _num_tasks() -> str:
    """Tasks of the step that srun started; another launcher within it makes ranks of its own."""
    return "1" if _has_rank() else os.environ.get(SLURM["WORLD_SIZE"], "1")


def _variable(name: str) -> str:
    """The variable of the environment that says what ``name`` usually does."""
    is_of_slurm = name in SLURM and not _has_rank() and _num_tasks() != "1"
    return SLURM[name] if is_of_slurm else name


def is_launched_by_us() -> bool:
    """Whether a launcher of ours started this process, and reports its errors."""
    return STORE in os.environ


def is_reported_elsewhere(error: CifarzooError) -> bool:
    """Whether another rank reports ``error``.

    What all find alone, such as a wrong config, the first rank of a host reports. The others
    wait: when it ends, its launcher ends them, and if it does not, the error is theirs alone.
    """
    local_rank = os.environ.get(_variable("LOCAL_RANK"), "0")
    is_first = is_launched_by_us() or not local_rank.isdecimal() or int(local_rank) == 0
    if error.is_reported is None and is_worker() and not is_first:
        time.sleep(GIVE_WAY_SECONDS)
    return bool(error.is_reported)


def restarts() -> tuple[int, int]:
    """How many times the ranks were restarted so far, and how many times they may be."""
    if is_launched_by_us():
        done, allowed = os.environ.get(RESTARTS, "0 0").split()
    else:
        done = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        allowed = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")
    return int(done), int(allowed)


def resolve_world_size(nproc: int | None, *, name: str = "--nproc") -> int:
    """How many ranks ``nproc`` means, or the environment of a worker sets.

    Args:
        nproc: Number that was given; None: as many as there are GPUs, or one.
        name: What errors call it.

    Raises:
        UsageError: More than the GPUs, fewer than one, or an environment that makes no sense.
    """
    if is_worker():
        return rank_environment().size
    gpus = num_gpus()
    if nproc is None:
        nproc = max(1, gpus)
    if nproc < 1:
        raise UsageError(f"{name} is {nproc}; expected at least 1")
    if nproc > 1:
        _patience()  # each rank reads it, once the run has a folder
    if gpus and nproc > gpus:
        raise UsageError(f"{name} is {nproc}, and this machine has {gpus} GPUs")
    cores = os.cpu_count() or 1
    if not gpus and nproc > MOST_PER_CORE * cores:  # each holds a torch: memory goes first
        raise UsageError(f"{name} is {nproc}, and this machine has {cores} cores and no GPU")
    return nproc


def rank_environment() -> RankEnvironment:
    """This process's place among the ranks.

    Raises:
        UsageError: The environment is incomplete, out of range, or names what there is not.
    """
    rank, size = _number("RANK"), _number("WORLD_SIZE")
    if rank >= size:
        raise UsageError(
            f"the environment's {_variable('RANK')} is {rank}; expected less than "
            f"{_variable('WORLD_SIZE')}, which is {size}"
        )
    by_network = size > 1 and not is_launched_by_us()
    if by_network:
        _check_interfaces()
        _check_restarts()
    return RankEnvironment(
        rank=rank,
        size=size,
        address=_address() if by_network else "",
        port=_port() if by_network else 0,
        agent_hosts=os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        patience=_patience(),
        local_rank=_local_rank(),  # the last: it takes an import of torch
    )


def _number(usual_name: str) -> int:
    name = _variable(usual_name)
    text = os.environ.get(name)
    if text is None:
        others = "RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT"
        raise UsageError(f"the environment has no {name}; a launcher sets {others}, or none")
    if not text.isdecimal():
        raise UsageError(f"the environment's {name} is {text!r}; expected a number")
    return int(text)


def num_gpus() -> int:
    """GPUs of this host that may be used."""
    import torch  # a config that is refused needs none

    return torch.cuda.device_count()


def _local_rank() -> int:
    gpus = num_gpus()
    local_rank = _number("LOCAL_RANK") if _variable("LOCAL_RANK") in os.environ or gpus > 1 else 0
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))  # torchrun's: so that all ranks refuse
    if gpus and max(local_rank + 1, here) > gpus:
        raise UsageError(
            f"{max(local_rank + 1, here)} ranks were started on this host (LOCAL_RANK is "
            f"{local_rank} here), and it has {gpus} GPUs; start as many as it has GPUs"
        )
    return local_rank


def _address() -> str:
    address = os.environ.get("MASTER_ADDR", "")
    if not address:
        raise UsageError("the environment has no MASTER_ADDR; expected the host of rank 0")
    try:
        socket.getaddrinfo(address, None)
    except OSError as error:
        raise UsageError(
            f"the environment's MASTER_ADDR is {address!r}, which has no address: {error.strerror}"
        ) from error
    return address


def _port() -> int:
    port = _number("MASTER_PORT")
    if not 0 < port <= LARGEST_PORT:
        raise UsageError(
            f"the environment's MASTER_PORT is {port}; expected a port from 1 to {LARGEST_PORT}"
        )
    return port


def _patience() -> float:
    text = os.environ.get(PATIENCE)
    if text is None:
        return RankEnvironment.patience
    if not text.isdecimal() or int(text) < LEAST_PATIENCE:
        raise UsageError(
            f"the environment's {PATIENCE} is {text!r}; expected a number of seconds, "
            f"{LEAST_PATIENCE} or more"
        )
    return float(text)


def _check_interfaces() -> None:
    names = [name for _, name in socket.if_nameindex()]
    for wanted in filter(None, os.environ.get("GLOO_SOCKET_IFNAME", "").split(",")):
        if wanted not in names:
            raise UsageError(
                f"the environment's GLOO_SOCKET_IFNAME is {wanted!r}; this host has "
                f"{', '.join(names)}"
            )


def _check_restarts() -> None:
    """Refuse restarts that torch's agent can't make: it hands dead ranks' addresses on."""
    agent_hosts = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if agent_hosts and restarts()[1] > 0:
        raise UsageError(
            "torchrun --max-restarts needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its "
            "environment; without it no restart succeeds (pytorch #135712)"
        )
