"""The same training on a CPU and on the device, in one piece and in micro-batches, and compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.child import Session
from benchmarks.gpu.plan import CASES, TINY, Case
from cifarzoo import config
from cifarzoo.bench.harness import build_harness
from cifarzoo.bench.variants import AS_IS, Variant
from cifarzoo.components.run import Run
from cifarzoo.engine.distributed.world import World

STEPS = 2  # besides those that the harness takes to warm up
# Such as a convolution's bias before a norm, whose gradient is 0 but for rounding.
ZERO = 1e-6


def compare(session: Session) -> None:
    """Record for each case how far apart its two trainings are."""
    wanted = session.check.cases
    for case in CASES:
        if not wanted or case.name in wanted:
            with session.recording_errors(case.name):
                session.record(case.name, _compare(case, session))


def _compare(case: Case, session: Session) -> dict[str, Any]:
    cpu = World(0, 1, torch.device("cpu"))
    world = cpu if case.is_on_cpu else session.world
    first = trained_weights((*case.sets, *case.first), world)
    second = trained_weights((*case.sets, *case.second), session.world)
    return compared(first, second, tolerance=case.tolerance)


def compared(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], *, tolerance: float
) -> dict[str, Any]:
    """How far apart the weights of two trainings are, and whether that is too far."""
    difference, tensor = largest_difference(first, second)
    found = {"difference": difference, "tensor": tensor, "tolerance": tolerance}
    if not difference <= tolerance:
        found["error"] = f"{tensor} differs by {difference:.1e}; expected {tolerance:.0e}"
    return found


def trained_weights(sets: tuple[str, ...], world: World) -> Mapping[str, Tensor]:
    """The network's numbers after a few steps of quickstart with ``sets``."""
    return weights_after_steps(config.load("quickstart.gin", sets=[*TINY, *sets]).build(), world)


def weights_after_steps(run: Run, world: World) -> Mapping[str, Tensor]:
    """The network's numbers after a few steps of ``run``."""
    harness = build_harness(run, Variant(name=AS_IS), data=None, world=world)
    harness.train(STEPS)()
    return harness.weights()


def largest_difference(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor]
) -> tuple[float, str]:
    """The largest difference as a share of the largest number of its tensor, and that tensor.

    Numbers that are rounding alone count as shares of ``ZERO``.
    """
    shares = {
        name: float((one - second[name]).abs().max() / one.abs().max().clamp(min=ZERO))
        for name, one in first.items()
    }
    worst = max(shares, key=lambda name: shares[name] if shares[name] == shares[name] else 1e300)
    return shares[worst], worst
