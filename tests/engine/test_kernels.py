"""Whose kernels a run uses: chosen before it begins, alike on its ranks, recorded, and said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cifarzoo
from cifarzoo.engine.device import kernels
from cifarzoo.engine.device.kernels import TORCH, Kernels, agreed, choose_kernels, convert, summary
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.events import CheckpointEvent, Event, StartEvent
from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError
from cifarzoo.layers.kernels import fused
from cifarzoo.layers.kernels.build import UnavailableError
from tests.tiny import evaluated, messages, tiny_run

CPU = torch.device("cpu")
NONE_HERE = UnavailableError("there is no C++ compiler (looked for c++, g++, clang++)")


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library can't be had here."""
    monkeypatch.setattr(kernels, "_loaded", lambda: NONE_HERE)


def started(events: list[Event]) -> StartEvent:
    return next(event for event in events if isinstance(event, StartEvent))


def network_with_a_pooling() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))


def test_small_layers_are_left_to_torch_unless_all_are_asked_for():
    automatic = choose_kernels(tiny_run(), CPU, "float32")
    asked = choose_kernels(tiny_run(kernels="fused"), CPU, "float32")

    assert automatic == Kernels(code=asked.code, least=fused.LEAST)
    assert asked.least == 0
    assert choose_kernels(tiny_run(kernels="torch"), CPU, "float32") == TORCH


@pytest.mark.parametrize(
    ("settings", "precision", "device", "why"),
    [
        ({}, "float64", "cpu", "there are none for float64"),
        ({"compile": True}, "float32", "cpu", "run.compile has torch make its own"),
        ({}, "float64", "cuda", "there are none for float64"),
        ({"compile": True}, "bfloat16", "cuda", "run.compile has torch make its own"),
        ({}, "float32", "mps", "there are none for mps"),
    ],
)
def test_kernels_that_a_run_cannot_use_are_refused_where_they_are_asked_for(
    settings, precision, device, why
):
    automatic = tiny_run(**settings)
    assert choose_kernels(automatic, torch.device(device), precision) == TORCH

    asked = tiny_run(kernels="fused", **settings)
    with pytest.raises(ConfigError, match=f"is 'fused', .*: {why}; expected 'auto' or 'torch'"):
        choose_kernels(asked, torch.device(device), precision)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_on_a_gpu_those_in_triton_are_used_where_they_are_asked_for(precision):
    pytest.importorskip("triton", reason="torch comes with Triton for GPUs alone here")
    gpu = torch.device("cuda")

    asked = choose_kernels(tiny_run(kernels="fused"), gpu, precision)

    assert choose_kernels(tiny_run(), gpu, precision) == TORCH
    assert asked.is_triton
    assert asked.code not in {None, kernels.load().code}
    model = kernels.convert(network_with_a_pooling(), asked)
    assert kernels.summary(model, asked) == "ours for 1 norms"


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_torchs_own_are_used_and_a_line_says_why(task):
    events: list[Event] = []
    done = task("run", max_steps=2, kernels="auto")

    execute(done, [events.append])

    expected = f"torch's own; {NONE_HERE}"
    assert started(events).hardware.kernels == expected
    assert done.open_folder().record["kernels"] == expected
    with pytest.raises(ConfigError, match=r"can't be had: there is no C\+\+ compiler"):
        execute(task("asked", max_steps=2, kernels="fused"))


def test_what_was_trained_with_them_is_tested_without(task, monkeypatch):
    done = task("run", max_steps=2, kernels="fused")
    result = execute(done)
    monkeypatch.setattr(kernels, "_loaded", lambda: NONE_HERE)

    assert evaluated(done).test == result.test


def test_a_run_trains_with_them_and_says_so(task, called):
    events: list[Event] = []
    done = task("run", max_steps=2, kernels="fused", precision="float32")

    execute(done, [events.append])

    assert {"statistics", "apply", "gradient"} <= set(called)
    assert started(events).hardware.kernels == "ours for 3 norms"
    record = done.open_folder().record
    assert record["kernels"] == "ours for 3 norms"
    assert record["attempts"][-1]["precision"]["kernels"]["code"] == kernels.load().code


def test_the_trial_uses_them_even_where_the_run_has_larger_layers(task, called):
    execute(task("run", max_steps=1, kernels="auto", precision="float32"))

    assert called  # by the trial: this run's layers are too small
    assert called.count("gradient") == 3


def test_a_run_goes_on_with_other_kernels_and_says_so(task):
    def interrupt(event: Event) -> None:
        if isinstance(event, CheckpointEvent):
            raise KeyboardInterrupt

    done = task("run", max_steps=6, checkpoint_steps=3, kernels="torch")
    with pytest.raises(KeyboardInterrupt):
        execute(done, [interrupt])
    events: list[Event] = []

    execute(replace(done, run=replace(done.run, kernels="fused")), [events.append])

    code = kernels.load().code[:12]
    expected = f"kernels was torch and is fused {code}: bits may differ from here on"
    assert expected in messages(events)


class Ranks(World):
    """A rank, and what another one has."""

    other: int = -1

    def gather(self, values: Tensor, group: Any = None) -> Tensor:
        """What both have."""
        assert group is None
        return torch.stack([values, torch.full_like(values, self.other)])


def test_all_ranks_use_the_same_kernels_or_none(monkeypatch):
    ours = Kernels(code="ab" * 32)
    monkeypatch.setattr(Ranks, "other", zlib.crc32(str(ours).encode()))
    assert agreed(ours, Ranks(0, 2, CPU)) == ours

    monkeypatch.setattr(Ranks, "other", -1)
    reason = "other processes of this run haven't got the same ones"
    assert agreed(ours, Ranks(0, 2, CPU)) == Kernels(reason=reason)
    assert agreed(Kernels(reason="no compiler"), Ranks(0, 2, CPU)).reason == "no compiler"
    assert agreed(ours, World(0, 1, CPU)) == ours


def test_what_has_no_layers_for_them_says_so():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))

    found = summary(convert(model, Kernels(code="ab")), Kernels(code="ab"))

    assert found == "torch's own; this network has no layers that ours are for"


def test_convolutions_in_strips_are_counted_and_need_no_compiler():
    with_strips = Kernels(has_strips=True, reason="no compiler")
    model = convert(cifarzoo.create_model("resnet18"), with_strips)

    expected = "ours for 16 convolutions in strips where images are narrow; no compiler"
    assert summary(model, with_strips) == expected
    assert str(with_strips) == "torch, strips"


def test_networks_outside_a_run_are_plain():
    for module in cifarzoo.create_model("resnet8").modules():
        assert type(module).__module__ != fused.__name__


def test_a_process_that_others_are_forked_from_has_no_kernels():
    code = "import cifarzoo.engine.distributed.launcher, cifarzoo.engine.runner, pathlib"
    code += "; print('/kernels-' in pathlib.Path('/proc/self/maps').read_text())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_user_who_may_write_nowhere_gets_torchs_own(tmp_path: Path):
    (tmp_path / "file").touch()
    code = "import json; from cifarzoo.engine.device.kernels import _loaded"
    code += "; import torch; print(json.dumps(str(_loaded())))"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file")}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )

    assert "Not a directory" in json.loads(done.stdout)
