"""Samples of how long work took, taken in turns: what else a machine does hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import torch

Work: TypeAlias = Callable[[], float]  # says how many images, or operations, it has done
Job: TypeAlias = Callable[[], Work]  # gets ready, which isn't timed
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measurement.

    Attributes:
        round: Number of the round, from 0.
        order: Position among all samples of the benchmark, from 0.
        amount: Number of images, or of floating-point operations.
        wall_seconds: Wall-clock time.
        cpu_seconds: CPU time of the process's threads.
    """

    round: int
    order: int
    amount: float
    wall_seconds: float
    cpu_seconds: float


def interleave(
    jobs: Mapping[K, Job],
    *,
    rounds: int,
    device: torch.device,
    emit: Callable[[str], None] = lambda _: None,
) -> dict[K, list[Sample]]:
    """Do each of ``jobs`` once a round, always in their order, and time it.

    Args:
        jobs: Jobs by name.
        rounds: Number of samples of each.
        device: Device of the work; a GPU is waited for.
        emit: Callback that receives a line of progress a round.
    """
    samples: dict[K, list[Sample]] = {name: [] for name in jobs}
    order = 0
    for number in range(rounds):
        emit(f"round {number + 1} of {rounds}")
        for name, job in jobs.items():
            amount, wall, cpu = timed(job(), device)
            samples[name].append(
                Sample(round=number, order=order, amount=amount, wall_seconds=wall, cpu_seconds=cpu)
            )
            order += 1
    return samples


def timed(work: Work, device: torch.device) -> tuple[float, float, float]:
    """What ``work`` returns, and the seconds of wall and CPU time that it took."""
    synchronise(device)
    wall, cpu = time.perf_counter(), time.process_time()
    amount = work()
    synchronise(device)
    return amount, time.perf_counter() - wall, time.process_time() - cpu


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
