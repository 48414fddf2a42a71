"""The check of a GPU: what its plan sets exists, and what it finds is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu.agreement import largest_difference, trained_weights
from benchmarks.gpu.components import FEW, names, smallest_run
from benchmarks.gpu.plan import CASES, FULL, SMALL, TINY, Case, Check
from benchmarks.gpu.report import failures, markdown
from cifarzoo import config
from cifarzoo.bench.variants import variants
from cifarzoo.engine.distributed.world import World

ONE_PROCESS = World(0, 1, torch.device("cpu"))
SPEED = {
    "recipe": "wrn26_10.gin",
    "settings": [],
    "precision": "bfloat16",
    "batch_size": 256.0,
    "warm_up_seconds": 3.0,
    "images_per_second": {
        name: {"median": 10_000.0, "low": 9_000.0, "high": 11_000.0}
        for name in ("training", "bare", "batches", "evaluation")
    },
    "step_ms": 25.6,
    "host_cpu_ms": 6.0,
    "flops_per_second": 3e14,
    "peak_memory_gib": 4.3,
}


@pytest.mark.parametrize("check", [*FULL, *SMALL], ids=lambda check: check.name)
def test_every_recipe_of_the_plan_takes_its_settings(check: Check):
    for variant in variants(check.variants) if check.recipe else ():
        config.load(check.recipe, sets=[*check.sets, *variant.settings]).build()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_is_a_config(case: Case):
    for side in (case.first, case.second):
        config.load("quickstart.gin", sets=[*TINY, *case.sets, *side]).build()


@pytest.mark.parametrize("name", names())
def test_every_component_is_a_config(name: str):
    assert smallest_run(name).precision == "float64"


def test_the_small_check_has_some_of_the_components():
    assert set(FEW) < set(names())


def test_trainings_that_differ_in_nothing_agree_and_others_do_not():
    [case] = [case for case in CASES if case.name == "resnet8"]
    ours, same, other = (
        trained_weights((*case.sets, *sets), ONE_PROCESS) for sets in ((), (), ("sgd.lr=0.2",))
    )
    assert largest_difference(ours, same)[0] == 0
    assert largest_difference(ours, other)[0] > case.tolerance


def test_a_number_that_is_not_finite_is_the_largest_difference():
    one = {"a": torch.ones(2), "b": torch.ones(2)}
    other = {"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([1.0, float("nan")])}
    assert largest_difference(one, other)[1] == "b"


def test_the_report_says_first_what_is_wrong_and_projects_hours():
    found: dict[str, Any] = {
        "speed wrn26_10": {"findings": {"recipe": SPEED, "tf32": {"error": "OutOfMemory"}}},
        "agreement": {"findings": {}, "exit": "killed after 9 s"},
        "speed pyramid": {"skipped": "3 s were left"},
    }
    text = markdown(found)
    wrong, _, rest = text.partition("## Machine")
    assert "* speed wrn26_10: tf32: OutOfMemory" in wrong
    assert "* agreement: ended with killed after 9 s" in wrong
    assert "* speed pyramid: skipped, 3 s were left" in wrong
    assert "| speed wrn26_10 | recipe | bfloat16 | 256 | 10000 |" in rest
    assert "* flax_gpu/wrn26_10: 0.28 h here; published 1 x V100, 4h36m" in rest
    assert [bool(failures(check)) for check in found.values()] == [True, True, False]


def check_gpu(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_whole_check_is_refused(tmp_path):
    done = check_gpu("--data", tmp_path, "--out", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "torch finds no CUDA device; --small checks this program on a CPU\n"


def test_without_data_the_whole_check_is_refused(tmp_path):
    done = check_gpu("--out", tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "--data is None; expected a folder with CIFAR-10\n",
    )


def test_a_check_writes_what_it_found(tmp_path):
    done = check_gpu("--small", "--only", "agreement", "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "gpu_check.json").read_text())
    [small] = [check for check in SMALL if check.name == "agreement"]
    assert written["agreement"]["findings"].keys() == set(small.cases)
    assert "| resnet8 | 0.0e+00 | 1e-09 |" in (tmp_path / "gpu_check.md").read_text()
