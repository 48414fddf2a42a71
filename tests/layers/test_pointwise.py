"""Strided 1x1 convolutions of few channels: those that were, and no byte beyond a buffer."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from cifarzoo import create_model
from cifarzoo.layers.pointwise import PointwiseConv2d, convert

# A freed block whose neighbour was written over aborts the process under glibc's own check.
CHECKED = {"GLIBC_TUNABLES": "glibc.malloc.check=3"}
DEBUG = Path("/lib/x86_64-linux-gnu/libc_malloc_debug.so.0")
TRAINS = """
import torch
from torch import nn
from cifarzoo.layers.pointwise import convert
for in_channels, channels in ((3, 8), (4, 8), (6, 13)):
    layer = convert(nn.Conv2d(in_channels, channels, 1, 2, bias=False))
    layer.to(memory_format=torch.channels_last)
    for _ in range(5):
        images = torch.randn(4, in_channels, 32, 32).to(memory_format=torch.channels_last)
        layer(images).sum().backward()
        layer.zero_grad()
print("done")
"""


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("stride", [2, 3, (1, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_outputs_and_gradients_are_the_plain_ones(size, stride, groups):
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 6, 1, stride, groups=groups).double()
    ours = convert(copy.deepcopy(plain))
    images = torch.randn(3, 4, size, size, dtype=torch.float64)
    outcomes = []
    for module in (plain, ours):
        seen = images.clone().requires_grad_()
        outputs = module(seen)
        outputs.square().sum().backward()
        outcomes.append([outputs, seen.grad, module.weight.grad, module.bias.grad])

    assert type(ours) is PointwiseConv2d
    for expected, found in zip(*outcomes, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_others_stay_as_they_are():
    class OfAStranger(nn.Conv2d):
        pass

    others = [
        nn.Conv2d(4, 8, 1),
        nn.Conv2d(4, 8, 3, 2),
        nn.Conv2d(4, 8, 1, 2, padding=1),
        nn.Conv2d(16, 8, 1, 2),
        OfAStranger(4, 8, 1, 2),
    ]
    before = [type(each) for each in others]

    assert [type(each) for each in convert(nn.ModuleList(others))] == before
    assert not any(
        isinstance(m, PointwiseConv2d) for m in convert(create_model("resnet20")).modules()
    )


@pytest.mark.skipif(not DEBUG.exists(), reason="no glibc that checks its heap")
def test_nothing_is_written_beyond_a_buffer():
    done = subprocess.run(
        [sys.executable, "-c", TRAINS],
        check=False,
        env={**CHECKED, "LD_PRELOAD": str(DEBUG), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )

    assert done.stdout == "done\n", done.stderr
