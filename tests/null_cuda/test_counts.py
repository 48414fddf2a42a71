"""What a step asks of a GPU: exact counts on a stand-in, for the torch that CI installs.

They show that the engine's code for GPUs runs, that nothing in a step waits for the device, and
that kernels are as many as they were. No time is looked at, and no number is computed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from tests.null_cuda import stand_in

GRAPH, OURS = "run.cuda_graph=True", "run.kernels='fused'"
TORCH = "2.14"  # whose kernels are counted
WIDE = ("run.architecture=@wide_resnet", "wide_resnet.blocks_per_group=1")
SHAKE = ("run.architecture=@shake_resnet", "shake_resnet.blocks_per_group=1")
PYRAMID = ("run.architecture=@pyramidnet", "pyramidnet.depth=20")
# Name: recipe and settings, kernels of all kinds in a step, and of them Triton's.
EAGER: dict[str, tuple[tuple[str, ...], int, int]] = {
    "wide_resnet": (("wrn26_2.gin", *WIDE), 257, 0),
    "wide_resnet, ours": (("wrn26_2.gin", *WIDE, OURS), 231, 49),
    "shake_resnet": (("wrn26_6_ss.gin", *SHAKE, "run.batch_size=32"), 440, 0),
    "pyramidnet": (("pyramid.gin", *PYRAMID, "run.batch_size=32"), 628, 0),
    "pyramidnet in groups": (
        ("pyramid.gin", *PYRAMID, "run.batch_size=32", "run.bn_group_size=8"),
        965,
        0,
    ),
    "resnet": (("resnet20.gin",), 365, 0),
    "airbench": (("airbench94.gin",), 175, 0),
    "muon": (("airbench94_muon.gin",), 442, 0),
}
# What a captured step has beside its graph: the batch, and what it came to.
AROUND = 18


@pytest.fixture(scope="session")
def counts(tmp_path_factory, worker_id, testrun_uid) -> dict[tuple[str, bool], dict[str, Any]]:
    """Of each run, captured and not: counts of a step; processes of the tests share them."""
    if reason := stand_in.why_not():
        pytest.skip(f"no stand-in for CUDA here: {reason}")
    if not torch.__version__.startswith(TORCH):
        pytest.skip(f"kernels are counted of torch {TORCH}")
    asked = {
        (name, is_captured): [*words, *([GRAPH] if is_captured else [])]
        for name, (words, _, _) in EAGER.items()
        for is_captured in (False, True)
    }
    own = tmp_path_factory.getbasetemp()
    shared = (own if worker_id == "master" else own.parent) / f"counts-{testrun_uid}.json"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            told = answers(list(asked.values()), tmp_path_factory.mktemp("null-cuda"))
            shared.write_text(json.dumps(told))
    found = json.loads(shared.read_text())
    assert [each["error"] for each in found if "error" in each] == []
    return dict(zip(asked, found, strict=True))


def answers(asked: list[list[str]], folder: Path) -> list[dict[str, Any]]:
    """What ``count`` says of each recipe with its settings; the stand-in is built in a folder."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.null_cuda.count", "-"],
        input="".join(f"{' '.join(words)}\n" for words in asked),
        env=os.environ | stand_in.build(folder),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", EAGER)
def test_a_step_has_so_many_kernels(counts, name):
    found = counts[name, False]
    _, kernels, of_triton = EAGER[name]
    assert (found["launches"], found["triton"], found["graph"]) == (kernels, of_triton, 0)


@pytest.mark.parametrize("name", EAGER)
def test_a_captured_step_is_one_graph_and_what_makes_its_batch(counts, name):
    found = counts[name, True]
    assert found["graph"] == 1
    assert found["launches"] == AROUND
    assert found["cublas"] + found["cudnn"] + found["triton"] + found["captured"] == 0


@pytest.mark.parametrize("is_captured", [False, True])
@pytest.mark.parametrize("name", EAGER)
def test_no_step_waits_for_the_device(counts, name, is_captured):
    found = counts[name, is_captured]
    assert found["wait"] == 0
    assert found["wait_for_event"] == 1  # of the step before, whose numbers are read
    assert found["to_host"] == 1
    assert found["to_device"] <= 2  # images and what else the host draws
    assert found["to_device_pageable"] + found["to_host_pageable"] == 0
