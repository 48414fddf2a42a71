"""Modules that regularizers train beside the network, and which tests know nothing of."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo import create_model
from cifarzoo.engine.assembly.build import build
from cifarzoo.engine.assembly.companions import companions_of
from cifarzoo.engine.assembly.dry_run import dry_run
from cifarzoo.engine.runner import execute
from cifarzoo.engine.trained import load_trained
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Forward, Passed, Regularizer
from cifarzoo.zoo.architectures.named import resnet8
from cifarzoo.zoo.regularizers.average.ema import ema
from cifarzoo.zoo.regularizers.average.swa import swa
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake
from cifarzoo.zoo.regularizers.network.deep_supervision import deep_supervision
from tests.engine.test_loss import FLOAT64, LINEAR, RATE, STEPS, Recorder
from tests.engine.test_network_stage import softmax
from tests.engine.test_ranks import check_parts_and_ranks, weights
from tests.tiny import evaluated, tiny_net, tiny_run

CPU = torch.device("cpu")
HEADS = "companions.deep_supervision.heads"


@dataclass(frozen=True)
class Normed(Regularizer):
    """A plugin's: a head with a norm and a dropout on the logits, which draws its weights."""

    size: int = 4

    def companions(self, _network: nn.Module, num_classes: int, _image_shape: Any) -> nn.Module:
        return nn.Sequential(
            nn.Linear(num_classes, self.size),
            *(nn.BatchNorm1d(self.size), nn.Dropout(0.5), nn.Linear(self.size, num_classes)),
        )

    def network(self, forward: Forward, images: Tensor, targets: Tensor, _draws: Any) -> Passed:
        logits, targets, penalty = forward(images, targets)
        guess = forward.companions(logits)
        return logits, targets, penalty + F.cross_entropy(guess, targets.to(guess.dtype))


SEEN: list[Recorder] = []


def recorder() -> Regularizer:
    SEEN.append(Recorder())
    return SEEN[-1]


@pytest.mark.parametrize("falls", [True, False])
def test_a_classifier_on_the_way_is_trained_as_by_hand(task, falls):
    """The network is an ``nn.Sequential``, which calls whatever it has."""
    supervised = partial(deep_supervision, modules=["0"], weight=0.5, falls=falls)
    run = {**FLOAT64, **LINEAR, "regularizers": [recorder, supervised]}
    first = build(tiny_run(**run), folder=None).model.double().state_dict()

    execute(task("supervised", **run))
    found = weights(task("supervised", **run).open_folder())

    network = np.zeros((10, 49))
    head = np.concatenate([first[f"{HEADS}.0.weight"], first[f"{HEADS}.0.bias"][:, None]], 1)
    for step, (means, targets) in enumerate(SEEN[-1].seen):
        ones = np.ones((len(means), 1))
        x = np.concatenate([means, ones], 1)
        y = np.concatenate([means.reshape(-1, 3, 16).mean(2), ones], 1)
        weight = 0.5 * (1 - step / STEPS if falls else 1)
        head = head - RATE * weight * (softmax(y @ head.T) - targets).T @ y / len(y)
        network = network - RATE * (softmax(x @ network.T) - targets).T @ x / len(x)
    assert step == STEPS - 1
    for name, expected in (("2", network), (f"{HEADS}.0", head)):
        whole = torch.cat([found[f"{name}.weight"], found[f"{name}.bias"][:, None]], 1)
        np.testing.assert_allclose(whole, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": partial(resnet8, stem_stride=2), "regularizers": [deep_supervision]},
        {"regularizers": [shake_shake, deep_supervision, Normed]},
    ],
    ids=["gradients averaged by DDP", "by the engine"],
)
def test_ranks_and_micro_batches_give_what_one_pass_gives(tmp_path, changes):
    check_parts_and_ranks(tmp_path, {**FLOAT64, "max_steps": 3, "bn_group_size": 4, **changes})


def test_it_goes_on_with_the_same_bits_and_is_tested_as_it_was(task, tmp_path):
    listed = [deep_supervision, Normed, partial(swa, start=0.0, every_epochs=0.25)]
    changes = {"regularizers": listed, "epochs": 1, "checkpoint_steps": 4}
    whole = execute(task("whole", **changes))
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    folder = task("again", **changes).open_folder()
    shutil.rmtree(folder.checkpoints / "step-00000008")
    folder.update(status="running")

    resumed = execute(task("again", **changes))

    assert (whole.steps, resumed.weights_sha256) == (8, whole.weights_sha256)
    assert evaluated(task("whole", **changes)).test.error == whole.test.error


def test_what_is_loaded_is_the_network_alone(task):
    changes = {"regularizers": [deep_supervision, ema], "epochs": 1}
    execute(task("run", **changes))
    run = task("run", **changes)

    loaded = load_trained(run.run, run.open_folder()).network

    plain = build(tiny_run(), folder=None).model
    plain.load_state_dict(loaded.state_dict())
    saved = weights(run.open_folder())
    assert saved.keys() - plain.state_dict().keys() == {
        f"{HEADS}.{head}.{part}" for head in range(1) for part in ("weight", "bias")
    }


def test_the_network_beside_it_starts_and_computes_as_without():
    torch.manual_seed(3)
    plain = create_model("resnet8")
    torch.manual_seed(3)
    model = create_model("resnet8", regularizers=["deep_supervision"])
    state = model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in plain.state_dict().items())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model.eval()(images), plain.eval()(images))
    sizes = [head.in_features for head in companions_of(model, "deep_supervision").heads]
    assert sizes == [16, 32]


def test_its_kernels_are_decayed_and_its_biases_spared():
    coverage = build(
        tiny_run(regularizers=[deep_supervision], weight_decay_policy="kernels"), folder=None
    ).coverage
    assert f"{HEADS}.0.weight" in dict(coverage.decayed)
    assert f"{HEADS}.0.bias" in dict(coverage.spared)


def test_two_of_one_kind_have_their_own():
    run = tiny_run(regularizers=[Normed, partial(Normed, size=3)])
    model = dry_run(run, folder=None, device=CPU).model
    sizes = [companions_of(model, name)[0].out_features for name in ("Normed", "Normed#2")]
    assert sizes == [4, 3]


def with_the_name(num_classes: int, residual: Any) -> nn.Module:
    model = tiny_net(num_classes, residual)
    model.companions = "others"
    return model


@dataclass(frozen=True)
class Nothing(Normed):
    """Gives no module."""

    def companions(self, _network: nn.Module, _num_classes: int, _image_shape: Any) -> Any:
        return [nn.Linear(1, 1)]


@dataclass(frozen=True)
class Failing(Normed):
    """Asks for more than it is given."""

    def companions(self, network: nn.Module, _num_classes: int, _image_shape: Any) -> nn.Module:
        return network.neck


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"regularizers": [Failing]},
            "^Failing: fails when its companions are made: AttributeError: 'TinyNet' object has no",
        ),
        (
            {"regularizers": [Nothing]},
            r"^Nothing: gives the companions \[Linear.*; expected a torch",
        ),
        (
            {"regularizers": [Normed], "architecture": with_the_name},
            "has Normed, whose modules would be the network's companions, and it has an attribute",
        ),
        (
            {"regularizers": [partial(deep_supervision, modules=["body"])]},
            "deep_supervision.modules has 'body', which the network doesn't; .* stem, blocks, head",
        ),
        (
            {"regularizers": [partial(deep_supervision, modules=["blocks"])]},
            "deep_supervision.modules has 'blocks', which isn't called",
        ),
        ({"regularizers": [deep_supervision], **LINEAR}, "modules is None, and the network has no"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changes, message):
    with pytest.raises(ConfigError, match=message):
        dry_run(tiny_run(**changes), folder=None, device=CPU)
