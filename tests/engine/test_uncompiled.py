"""Nothing imports torch's compiler where nothing is compiled."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from cifarzoo.engine.device.uncompiled import (
    HIDDEN,
    MARK,
    optimizers_uncompiled,
    set_deterministic_algorithms,
)
from tests.cli.small_run import CONFIG

# A run, another that goes on from its end, a test of that one, and steps of other optimizers.
WHOLE_LIFE = """
import sys
import cifarzoo

cifarzoo.train("small.gin", run_dir="first", progress=False)
longer = {"run.epochs": 3}
cifarzoo.train("small.gin", run_dir="second", from_run="first", set=longer, progress=False)
cifarzoo.evaluate("second")
for optimizer in ("adamw", "rmsprop", "muon"):
    one = {"run.optimizer": f"@{optimizer}", "run.max_steps": 1}
    cifarzoo.train("small.gin", run_dir=optimizer, set=one, progress=False)
assert "torch.optim" in sys.modules
print("torch._dynamo" in sys.modules, "torch._inductor" in sys.modules)
"""


def test_a_run_from_its_beginning_to_its_test_needs_no_compiler(tmp_path):
    (tmp_path / "small.gin").write_text(CONFIG)

    done = subprocess.run(
        [sys.executable, "-c", WHOLE_LIFE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["False", "False"]


def test_optimizers_are_as_before_afterwards():
    methods = [getattr(torch.optim.Optimizer, name).__wrapped__ for name in HIDDEN]
    before = [getattr(method, MARK, None) for method in methods]
    weight = torch.nn.Parameter(torch.ones(3))

    with optimizers_uncompiled():
        optimizer = torch.optim.SGD([weight], lr=0.1)
        weight.grad = torch.ones(3)
        optimizer.zero_grad()
        optimizer.load_state_dict(optimizer.state_dict())
        assert all(hasattr(method, MARK) for method in methods)

    assert [getattr(method, MARK, None) for method in methods] == before


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_deterministic_algorithms_are_on_and_off_alike(mode, compiles):
    before = torch.get_deterministic_debug_mode()
    try:
        set_deterministic_algorithms(mode, compiles=compiles)
        assert torch.get_deterministic_debug_mode() == mode
        assert torch.are_deterministic_algorithms_enabled() == (mode > 0)
    finally:
        set_deterministic_algorithms(before, compiles=True)
