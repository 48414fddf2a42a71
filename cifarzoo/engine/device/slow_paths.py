"""Sizes at which a device is slow, which a user may not have meant."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from cifarzoo.engine.assembly.plan import Plan
from cifarzoo.engine.device.precision import Policy

LEAST_IMAGES = 16


def slow_paths(
    model: nn.Module,
    plan: Plan,
    policy: Policy,
    device: torch.device,
    network_stages: Sequence[str] = (),
) -> list[str]:
    """What costs time without a reason, a line each.

    Args:
        model: Network of the run.
        plan: Sizes of the run.
        policy: Arithmetic of the run.
        device: Device on which it trains.
        network_stages: Names of the regularizers that act around the forward pass.
    """
    found = []
    if policy.compile and network_stages:
        found.append(
            f"training passes are not compiled: {', '.join(network_stages)} may watch any module; "
            "tests are compiled"
        )
    return found + _small_passes(model, plan, policy, device)


def _small_passes(model: nn.Module, plan: Plan, policy: Policy, device: torch.device) -> list[str]:
    rows = plan.micro_batch_size * plan.num_views
    is_slow = device.type == "cpu" and policy.name == "float32" and policy.threads == 1
    if not is_slow or rows >= LEAST_IMAGES or not _has_pointwise(model):
        return []
    return [
        f"{rows} images go through the network at a time; with fewer than "
        f"{LEAST_IMAGES}, 1x1 convolutions in float32 on one thread take a slower path"
    ]


def _has_pointwise(model: nn.Module) -> bool:
    return any(isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) for m in model.modules())
