"""The loss of a step is that of the whole global batch, with weights and without."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.engine.assembly.dry_run import dry_run
from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Loss, Regularizer, SupportsWeights
from cifarzoo.zoo.losses.cross_entropy import cross_entropy
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.regularizers.loss.label_smoothing import label_smoothing
from cifarzoo.zoo.schedules.constant import constant
from tests.engine.test_ranks import on_ranks, weights
from tests.tiny import tiny_run

RATE, STEPS = 0.05, 5
CLASS_WEIGHTS = [0.125, 3.0, 1.0, 1.0, 0.5, 2.0, 1.0, 7.0, 1.0, 0.0]
FLOAT64 = {"precision": "float64", "epochs": 1, "max_steps": STEPS}


@dataclass(frozen=True)
class ClassWeighted:
    """Cross-entropy in which the classes count differently, as a plugin has it."""

    of_class: tuple[float, ...]

    def weights(self, targets: Tensor) -> Tensor:
        return targets @ targets.new_tensor(self.of_class)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, reduction="none")


def class_weighted() -> Loss:
    return ClassWeighted(tuple(CLASS_WEIGHTS))


def an_image() -> Loss:
    return partial(F.cross_entropy, reduction="none")


def linear_net(num_classes: int) -> nn.Module:
    """Linear in the means of 8 x 8 pixels, from weights that are 0."""
    head = nn.Linear(48, num_classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), head)


LINEAR = {
    "architecture": linear_net,
    "optimizer": partial(sgd, lr=RATE, momentum=0.0, nesterov=False, weight_decay=0.0),
    "schedule": constant,
}


@dataclass(frozen=True)
class Recorder(Regularizer):
    """Keeps each batch as it goes into the network."""

    seen: list[Any] = field(default_factory=list)

    def batch(self, images, targets, draws):
        del draws
        if len(images) > 4:  # stages are tried on two images, and their views
            means = F.avg_pool2d(images.double(), 8).flatten(1)
            self.seen.append((means.numpy(), targets.numpy()))
        return images, targets


RECORDERS: list[Recorder] = []


def recorder() -> Regularizer:
    RECORDERS.append(Recorder())
    return RECORDERS[-1]


def by_hand(batches: list[Any], of_class: list[float], smoothing: float) -> tuple[Any, float]:
    """Weights of ``linear_net`` after SGD on ``sum(w l) / sum(w)``, and its mean, in NumPy."""
    weight, losses = np.zeros((10, 49)), []
    for means, targets in batches:
        x = np.concatenate([means, np.ones((len(means), 1))], 1)
        w = targets @ np.array(of_class)
        smooth = targets * np.float32(1 - smoothing) + np.float32(smoothing / 10)
        log_p = x @ weight.T - np.log(np.exp(x @ weight.T).sum(1, keepdims=True))
        losses.append(-(w * (smooth * log_p).sum(1)).sum() / w.sum())
        total = smooth.sum(1, keepdims=True, dtype=np.float64)  # 1 but for float32's rounding
        weight -= RATE * (w[:, None] * (np.exp(log_p) * total - smooth)).T @ x / w.sum()
    return weight, float(np.mean(losses))


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_a_weighted_loss_is_that_of_the_global_batch(task, tmp_path, smoothing):
    smoothed = [partial(label_smoothing, smoothing=smoothing)] if smoothing else []
    changes = {**FLOAT64, **LINEAR, "loss": class_weighted, "regularizers": smoothed}
    recorded = {**changes, "regularizers": [*smoothed, recorder]}
    in_parts = {**changes, "micro_batch_size": 2}
    execute(task("alone", **recorded))
    execute(task("parts", **in_parts))
    batches = RECORDERS[-1].seen
    weight, loss = by_hand(batches, CLASS_WEIGHTS, smoothing)
    folders = [
        task("alone", **recorded).open_folder(),
        task("parts", **in_parts).open_folder(),
        on_ranks(tmp_path, "ranks", changes),
        on_ranks(tmp_path, "both", in_parts),
    ]

    assert len(batches) == STEPS
    for folder in folders:
        found = weights(folder)
        whole = torch.cat([found["2.weight"], found["2.bias"][:, None]], 1)
        np.testing.assert_allclose(whole, weight, rtol=1e-10, atol=1e-13)
        assert folder.metrics()[-1]["train_loss"] == pytest.approx(loss, rel=1e-12)


def test_a_loss_an_image_without_weights_trains_as_its_mean(task):
    runs = {
        "none": {},
        "named": {"loss": cross_entropy},
        "image": {"loss": an_image},
        "even": {"loss": evenly_weighted},
    }
    for name, changes in runs.items():
        execute(task(name, **FLOAT64, **changes))
    none, named, image, even = (
        task(name, **FLOAT64, **changes).open_folder() for name, changes in runs.items()
    )

    assert named.record["weights_sha256"] == none.record["weights_sha256"]
    assert named.metrics()[-1]["train_loss"] == none.metrics()[-1]["train_loss"]
    for other in (image, even):
        torch.testing.assert_close(weights(other), weights(none), rtol=1e-10, atol=1e-13)


def evenly_weighted() -> Loss:
    return ClassWeighted((3.0,) * 10)


@dataclass(frozen=True)
class Added(Regularizer):
    """Adds a number to the loss, as third parties' penalties do."""

    number: float

    def loss(self, loss: Loss) -> Loss:
        return lambda logits, targets: loss(logits, targets) + self.number


@pytest.mark.parametrize("loss", [cross_entropy, an_image, class_weighted])
def test_what_a_regularizer_adds_is_added_to_any_loss(task, loss):
    shorter = {**FLOAT64, "max_steps": 1, "loss": loss}
    execute(task("plain", **shorter))
    execute(task("added", **shorter, regularizers=[partial(Added, 5.0)]))

    plain = task("plain", **shorter).open_folder().metrics()[-1]
    added = task("added", **shorter, regularizers=[partial(Added, 5.0)]).open_folder().metrics()[-1]

    assert added["train_loss"] == pytest.approx(plain["train_loss"] + 5.0, rel=1e-12)
    assert added["test_loss"] == plain["test_loss"]


def test_weights_are_found_through_what_wraps_their_loss():
    run = tiny_run(loss=class_weighted, regularizers=[label_smoothing])

    components = dry_run(run, folder=None, device=torch.device("cpu"))

    assert not isinstance(components.loss, SupportsWeights)
    assert components.loss_weights is not None
    assert components.loss_weights(torch.eye(10)).tolist() == pytest.approx(CLASS_WEIGHTS)


@dataclass(frozen=True)
class Meaning(Regularizer):
    """Takes the mean of the loss, which its weights then can't reach."""

    def loss(self, loss: Loss) -> Loss:
        return lambda logits, targets: loss(logits, targets).mean()


@dataclass(frozen=True)
class Mistaken(ClassWeighted):
    """Gives a weight a class."""

    def weights(self, targets: Tensor) -> Tensor:
        return targets


def mistaken() -> Loss:
    return Mistaken((1.0,) * 10)


def a_class() -> Loss:
    return lambda logits, targets: logits - targets


def nothing() -> Loss:
    return None


def failing() -> Loss:
    return lambda logits: logits.sum()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"loss": class_weighted, "regularizers": [Meaning]},
            r"^Meaning: makes the loss \(\); expected one number an image, since the loss has",
        ),
        (
            {"loss": mistaken},
            r"^mistaken: gives the weights \(2, 10\); expected a tensor of one an",
        ),
        (
            {"loss": a_class},
            r"^a_class: makes the loss \(2, 10\); expected a tensor of one number, or one an image",
        ),
        (
            {"loss": nothing},
            r"^nothing: gives None \(NoneType\); expected a function of \(logits, ta",
        ),
        ({"loss": failing}, r"^failing: fails on two images, in the loss: TypeError: "),
    ],
)
def test_what_is_no_loss_is_refused_in_words(changes, message):
    with pytest.raises(ConfigError, match=message) as refused:
        dry_run(tiny_run(**changes), folder=None, device=torch.device("cpu"))
    assert refused.value.exit_code == 2
