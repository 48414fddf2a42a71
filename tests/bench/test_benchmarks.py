"""The benchmarks compare like with like: the same network and images, in turns that are counted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import tables
from benchmarks.contenders import plain
from benchmarks.contenders.images import DecodedCIFAR10, crop_and_flip
from benchmarks.networks import WideResNet, plain_network
from benchmarks.pace import Pace
from benchmarks.side_by_side import CONTENDERS, ROOT, Entry, compare, of_tree
from benchmarks.task import MEAN, STD, Task
from cifarzoo import config, create_model

HAS_TIMM = find_spec("timm") is not None


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """ResNet-18 on a few images of noise."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    np.save(folder / "images.npy", rng.integers(0, 256, (64, 3, 32, 32), np.uint8))
    np.save(folder / "labels.npy", rng.integers(0, 10, 64))
    return Task(network="resnet18", batch_size=2, threads=1, workers=1, images=str(folder))


def test_the_plain_resnet18_is_ours():
    assert_same_function(plain_network("resnet18"), create_model("resnet18"))


def test_the_plain_wide_resnet_is_ours():
    assert isinstance(plain_network("wrn26_2"), WideResNet)
    assert_same_function(WideResNet(drop_prob=0.0), create_model("wrn26_2", dropout_rate=0.0))
    dropouts = [m.p for m in WideResNet().modules() if isinstance(m, torch.nn.Dropout)]
    assert dropouts == [0.3] * 12


def assert_same_function(theirs: torch.nn.Module, ours: torch.nn.Module) -> None:
    """After our weights were copied, in order, both give the same in training."""
    weights = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict(dict(weights))
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(theirs(images), ours(images), rtol=0, atol=1e-5)


@pytest.mark.skipif(not HAS_TIMM, reason="timm is not installed")
def test_timms_network_is_ours():
    from benchmarks.contenders.timm_loop import network

    assert_same_function(network("resnet18"), create_model("resnet18"))


def test_the_peers_get_the_images_of_the_task_as_pil_images(task):
    dataset, (images, labels) = DecodedCIFAR10(task), task.load()
    image, label = dataset[5]
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image).transpose(2, 0, 1), images[5])
    assert (label, len(dataset)) == (labels[5], 64)


@pytest.mark.parametrize("network", ["resnet18", "wrn26_2"])
def test_peers_and_recipe_agree_on_all_that_costs_time(task, network):
    of_network = Task(**{**vars(task), "network": network})
    run = config.load(f"{network}.gin").build()
    crop, *_ = run.augmentations
    known = run.dataset(folder=None)
    [pad, _] = crop_and_flip(of_network)
    assert crop.keywords == {"padding": pad.padding, "mode": of_network.border}
    assert run.optimizer.keywords["nesterov"] == of_network.is_nesterov
    assert (tuple(known.mean), tuple(known.std)) == (MEAN, STD)


def test_all_contenders_train_in_turns_and_say_what_it_took(task, capfd):
    names = [
        "cifarzoo float32",
        "cifarzoo torch kernels",
        *["timm bfloat16"] * HAS_TIMM,
        "plain bfloat16",
    ]
    entries = [entry for entry in CONTENDERS if entry.name in names]

    found = compare(task, rounds=2, steps=2, emit=lambda _: None, entries=entries)

    rows = found["contenders"]
    assert [row["name"] for row in rows] == names
    samples = sorted((s for row in rows for s in row["samples"]), key=lambda s: s["order"])
    assert [s["round"] for s in samples] == [0] * len(names) + [1] * len(names)
    assert {s["amount"] for s in samples} == {4}
    for sample in samples:  # one thread, and a worker that has filled its queue before
        assert 0 < sample["cpu_seconds"] < 2 * sample["wall_seconds"] + 0.5
    assert rows[0]["times_as_fast"][names[0]]["cpu"]["median"] == 1
    shown = "\n".join(tables.side_by_side([found]))
    assert f"| {names[-1]} | {rows[-1]['per_cpu_second']['median']:.3g} (" in shown
    assert "Traceback" not in capfd.readouterr().err


class OneStep(Pace):
    """Ends a loop behind its first step."""

    class OverError(Exception):
        """The step was done."""

    def step_done(self, images: int) -> None:
        raise self.OverError(images)


@pytest.mark.parametrize(
    ("precision", "layout", "dtype"),
    [
        ("auto", torch.contiguous_format, torch.float32),
        ("bfloat16", torch.channels_last, torch.bfloat16),
    ],
)
def test_the_plain_loop_in_bfloat16_has_both_switches(task, precision, layout, dtype):
    seen = []

    def watched(
        net: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        net.conv1.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
        return net, optimizer

    with pytest.raises(OneStep.OverError):
        plain.train(replace(task, precision=precision), OneStep(), watched)

    [(images, made)] = seen
    assert images.is_contiguous(memory_format=layout)
    assert made.is_contiguous(memory_format=layout)
    assert (images.dtype, made.dtype) == (torch.float32, dtype)


def test_a_task_tells_an_older_tree_nothing_that_it_need_not_know(task):
    assert set(json.loads(task.text())) == {"network", "batch_size", "threads", "workers", "images"}
    for entry in CONTENDERS:
        told = replace(task, **entry.told)
        assert Task.from_text(told.text()) == told


STANDS_ALONE = """
import sys
sys.modules.update(dict.fromkeys(["cifarzoo", "gin", "timm"]))  # not to be had
import benchmarks.contender, benchmarks.contenders.plain
"""


def test_the_plain_loop_is_run_by_a_python_without_cifarzoo():
    subprocess.run([sys.executable, "-c", STANDS_ALONE], check=True, cwd=ROOT)


def test_another_tree_is_a_contender_by_its_folders_name(task, tmp_path):
    tree = tmp_path / "before"
    shutil.copytree(ROOT / "benchmarks", tree / "benchmarks")
    loop = tree / "benchmarks" / "contenders" / "ours.py"
    loop.write_text("def train(task, pace):\n    while True:\n        pace.step_done(7)\n")

    found = compare(task, rounds=1, steps=2, emit=lambda _: None, entries=[of_tree(tree)])

    [row] = found["contenders"]
    assert row["name"] == "cifarzoo of before"
    assert [sample["amount"] for sample in row["samples"]] == [14]


def test_a_python_that_cannot_run_it_is_said(task):
    entry = Entry(name="ipex bfloat16", python="/bin/false")
    with pytest.raises(RuntimeError, match="ipex bfloat16 ended with exit code 1"):
        compare(task, rounds=1, steps=1, emit=lambda _: None, entries=[entry])
