"""Regularizers that see the forward pass of training: what it gives, on any number of ranks."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cifarzoo.engine.assembly.dry_run import dry_run
from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Forward, Passed, Regularizer
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake
from cifarzoo.zoo.regularizers.loss.label_smoothing import label_smoothing
from tests.engine.test_loss import FLOAT64, LINEAR, RATE, STEPS, class_weighted
from tests.engine.test_ranks import check_parts_and_ranks, weights
from tests.tiny import tiny_run

CPU = torch.device("cpu")


def mixed(x: Tensor, lam: Tensor) -> Tensor:
    """Each row with its neighbour, in pairs that no micro-batch of even size divides."""
    neighbour = x.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    share = lam.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)
    return share * x + (1 - share) * neighbour


@dataclass(frozen=True)
class NeighbourMixup(Regularizer):
    """Manifold mixup of neighbours, behind a block that is drawn."""

    alpha: float = 1.0

    def network(self, forward: Forward, images: Tensor, targets: Tensor, draws: Any) -> Passed:
        lam = draws.beta(self.alpha, self.alpha, per="batch")
        block = forward.model.blocks[int(draws.integers(2, per="batch")[0])]
        handle = block.register_forward_hook(lambda _m, _args, features: mixed(features, lam))
        try:
            logits, targets, penalty = forward(images, targets)
        finally:
            handle.remove()
        return logits, mixed(targets, lam), penalty


@dataclass(frozen=True)
class Noise(Regularizer):
    """Noise of a strength that is drawn a sample, and two passes whose logits are averaged."""

    def network(self, forward: Forward, images: Tensor, targets: Tensor, draws: Any) -> Passed:
        noise = draws.uniform(-1, 1).to(images.dtype)[:, None, None, None]
        one, targets, penalty = forward(images + noise, targets)
        two, targets, penalty = forward(images - noise, targets)
        return (one + two) / 2, targets, penalty + (one - two).square().mean()


@dataclass(frozen=True)
class WeightPenalty(Regularizer):
    """L1 of the weights: a penalty that has nothing of the images."""

    strength: float = 1e-3

    def network(self, forward: Forward, images: Tensor, targets: Tensor, _draws: Any) -> Passed:
        logits, targets, penalty = forward(images, targets)
        l1 = torch.stack([p.abs().sum() for p in forward.model.parameters()]).sum()
        return logits, targets, penalty + self.strength * l1


@pytest.mark.parametrize(
    "changes",
    [
        {"regularizers": [NeighbourMixup]},
        {
            "regularizers": [shake_shake, Noise, NeighbourMixup, label_smoothing, WeightPenalty],
            "loss": class_weighted,
        },
    ],
    ids=["manifold mixup", "gates, two passes, penalties, weights"],
)
def test_ranks_and_micro_batches_give_what_one_pass_gives(tmp_path, changes):
    check_parts_and_ranks(tmp_path, {**FLOAT64, "bn_group_size": 4, **changes})


TEACHER = np.linspace(-1, 1, 480).reshape(48, 10)
TEMPERATURE, SHARE = 2.0, 0.75


@dataclass(frozen=True)
class Distillation(Regularizer):
    """A teacher's logits in the loss (Hinton et al., 2015; arXiv:1503.02531)."""

    seen: list[Any] = field(default_factory=list)

    def loss(self, loss):
        return lambda logits, targets: (1 - SHARE) * loss(logits, targets)

    def network(self, forward: Forward, images: Tensor, targets: Tensor, _draws: Any) -> Passed:
        assert forward.model.training == (len(images) > 2)  # stages are tried on two images
        means = F.avg_pool2d(images, 8).flatten(1)
        taught = (means @ torch.tensor(TEACHER, dtype=means.dtype) / TEMPERATURE).softmax(1)
        logits, targets, penalty = forward(images, targets)
        told = (logits / TEMPERATURE).log_softmax(1)
        apart = F.kl_div(told, taught, reduction="batchmean")
        if len(images) > 2:
            self.seen.append((means.numpy(), targets.double().numpy()))
        return logits, targets, penalty + SHARE * TEMPERATURE**2 * apart


TAUGHT: list[Distillation] = []


def distillation() -> Regularizer:
    TAUGHT.append(Distillation())
    return TAUGHT[-1]


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_a_teachers_logits_in_the_loss_are_the_papers_gradient(task):
    changes = {**FLOAT64, **LINEAR, "regularizers": [distillation]}
    execute(task("taught", **changes))
    batches = TAUGHT[-1].seen
    found = weights(task("taught", **changes).open_folder())

    weight = np.zeros((10, 49))
    for means, targets in batches:
        x = np.concatenate([means, np.ones((len(means), 1))], 1)
        logits = x @ weight.T
        hard = softmax(logits) - targets
        soft = softmax(logits / TEMPERATURE) - softmax(means @ TEACHER / TEMPERATURE)
        gradient = ((1 - SHARE) * hard + SHARE * TEMPERATURE * soft).T @ x / len(x)
        weight -= RATE * gradient

    assert len(batches) == STEPS  # once a step, and never on test images
    whole = torch.cat([found["2.weight"], found["2.bias"][:, None]], 1)
    np.testing.assert_allclose(whole, weight, rtol=1e-10, atol=1e-13)


def test_a_run_under_a_network_stage_goes_on_with_the_same_bits(task, tmp_path):
    changes = {"regularizers": [NeighbourMixup, Noise], "epochs": 1, "checkpoint_steps": 4}
    whole = execute(task("whole", **changes))
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    folder = task("again", **changes).open_folder()
    shutil.rmtree(folder.checkpoints / "step-00000008")
    folder.update(status="running")

    resumed = execute(task("again", **changes))

    assert resumed.steps == whole.steps == 8
    assert resumed.weights_sha256 == whole.weights_sha256


def test_adding_a_network_stage_that_only_passes_on_changes_no_bit(task):
    shorter = {"max_steps": 3, "regularizers": [shake_shake]}
    plain = execute(task("plain", **shorter))
    passing = execute(task("passing", **{**shorter, "regularizers": [shake_shake, Passing]}))

    assert passing.weights_sha256 == plain.weights_sha256


@dataclass(frozen=True)
class Passing(Regularizer):
    """Draws, and passes on what it is given."""

    def network(self, forward: Forward, images: Tensor, targets: Tensor, draws: Any) -> Passed:
        draws.uniform(0, 1)
        return forward(images, targets)


@dataclass(frozen=True)
class LogitsAlone(Regularizer):
    """Forgets targets and penalty."""

    def network(self, forward: Forward, images: Tensor, targets: Tensor, _draws: Any) -> Any:
        return forward(images, targets)[0]


@dataclass(frozen=True)
class PenaltyAnImage(Regularizer):
    """Gives a penalty for each image."""

    def network(self, forward: Forward, images: Tensor, targets: Tensor, _draws: Any) -> Any:
        logits, targets, _ = forward(images, targets)
        return logits, targets, logits.square().mean(1)


@dataclass(frozen=True)
class Permuting(Regularizer):
    """Wants partners from the whole batch, which no pass has."""

    def network(self, forward: Forward, images: Tensor, targets: Tensor, draws: Any) -> Any:
        return forward(images[draws.permutation()], targets)


@pytest.mark.parametrize(
    ("regularizer", "message"),
    [
        (
            LogitsAlone,
            r"^LogitsAlone: gives Tensor in the network stage; expected logits and targets "
            r"\(2, 10\) and a penalty \(\)",
        ),
        (
            PenaltyAnImage,
            r"^PenaltyAnImage: gives \(2, 10\), \(2, 10\), \(2,\) in the network stage",
        ),
        (
            Permuting,
            r"^Permuting: fails on images \(2, 3, 32, 32\), in the network stage: ValueError: a "
            r"permutation needs the whole batch",
        ),
    ],
)
def test_what_a_network_stage_may_not_give_is_refused_in_words(regularizer, message):
    with pytest.raises(ConfigError, match=message) as refused:
        dry_run(tiny_run(regularizers=[regularizer]), folder=None, device=CPU)
    assert refused.value.exit_code == 2


def test_trying_a_network_stage_leaves_the_network_as_it_was():
    run = tiny_run(regularizers=[NeighbourMixup, Noise])

    components = dry_run(run, folder=None, device=CPU)

    assert components.model.training
    assert all(p.grad is None for p in components.model.parameters())
    assert not any(m._forward_hooks for m in components.model.modules())
