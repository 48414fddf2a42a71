"""Who trains in a way that is slow without a reason is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from cifarzoo.engine.assembly.plan import plan
from cifarzoo.engine.device.precision import Policy
from cifarzoo.engine.device.slow_paths import slow_paths
from tests.tiny import tiny_run

SLOW = Policy(name="float32", channels_last=True, compile=False, deterministic=True, threads=1)
POINTWISE = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1))


def said(
    model: nn.Module = POINTWISE, *, policy: Policy = SLOW, device: str = "cpu", **changes: Any
) -> list[str]:
    sizes = plan(tiny_run(**{"batch_size": 15, **changes}), num_train=128, num_test=60)
    return slow_paths(model, sizes, policy, torch.device(device))


def test_few_images_at_a_time_are_warned_of_where_they_are_slow():
    (line,) = said()

    assert line.startswith("15 images go through the network at a time; with fewer than 16,")


def test_a_micro_batch_counts_and_not_the_whole():
    (line,) = said(batch_size=64, micro_batch_size=8, bn_group_size=8)

    assert line.startswith("8 images")


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 16},
        {"model": nn.Conv2d(3, 8, 3)},
        {"policy": replace(SLOW, threads=2)},
        {"policy": replace(SLOW, name="bfloat16")},
        {"device": "cuda"},
    ],
    ids=["enough images", "no 1x1 convolution", "two threads", "bfloat16", "a GPU"],
)
def test_what_is_not_slow_is_not_warned_of(changes):
    assert said(**changes) == []


@pytest.mark.parametrize("compiled", [True, False])
def test_what_watches_the_network_keeps_training_from_being_compiled(compiled):
    sizes = plan(tiny_run(), num_train=128, num_test=60)
    policy = replace(SLOW, compile=compiled)

    found = slow_paths(POINTWISE, sizes, policy, torch.device("cpu"), ["distillation"])

    said = [
        "training passes are not compiled: distillation may watch any module; tests are compiled"
    ]
    assert found == said * compiled
