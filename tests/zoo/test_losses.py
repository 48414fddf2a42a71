"""Losses against their papers' formulas in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cifarzoo.errors import ConfigError
from cifarzoo.zoo.losses.binary_cross_entropy import binary_cross_entropy
from cifarzoo.zoo.losses.focal import focal
from cifarzoo.zoo.losses.long_tails import class_weighted, effective_weights, logit_adjusted

RNG = np.random.default_rng(0)
N, K = 7, 5
LOGITS = RNG.standard_normal((N, K)) * 3
TARGETS = RNG.dirichlet(np.ones(K), N)
COUNTS = [500, 200, 80, 30, 5]


def of(loss):
    return loss(torch.tensor(LOGITS), torch.tensor(TARGETS)).numpy()


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_is_equation_4_over_the_classes(gamma):
    p = softmax(LOGITS)
    expected = -(TARGETS * (1 - p) ** gamma * np.log(p)).sum(1)
    np.testing.assert_allclose(of(focal(gamma=gamma)), expected, rtol=1e-12)


def test_focal_without_focus_is_the_cross_entropy():
    expected = F.cross_entropy(torch.tensor(LOGITS), torch.tensor(TARGETS), reduction="none")
    np.testing.assert_allclose(of(focal(gamma=0.0)), expected, rtol=1e-12)


def test_focal_has_finite_gradients_where_the_network_is_sure():
    logits = torch.tensor([[100.0, 0.0], [0.0, 100.0]], requires_grad=True)
    focal(gamma=0.5)(logits, torch.eye(2)).sum().backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("sum_classes", [True, False])
@pytest.mark.parametrize("threshold", [None, 0.2])
def test_binary_cross_entropy_asks_of_each_class(threshold, sum_classes):
    p = 1 / (1 + np.exp(-LOGITS))
    t = TARGETS if threshold is None else (threshold < TARGETS).astype(float)
    each = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    expected = each.sum(1) if sum_classes else each.mean(1)
    found = of(binary_cross_entropy(threshold=threshold, sum_classes=sum_classes))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_effective_numbers_are_the_papers_and_have_a_mean_of_1():
    beta = 0.99
    effective = np.array([(1 - beta**n) / (1 - beta) for n in COUNTS])
    expected = 1 / effective / (1 / effective).mean()
    np.testing.assert_allclose(effective_weights(COUNTS, beta), expected, rtol=1e-12)
    np.testing.assert_allclose(effective_weights(COUNTS, 0.0), np.ones(K))


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({"class_weights": [1.0, 2.0, 0.5, 0.0, 3.0]}, [1.0, 2.0, 0.5, 0.0, 3.0]),
        ({"class_counts": COUNTS, "beta": 0.9}, effective_weights(COUNTS, 0.9)),
    ],
)
def test_images_weigh_what_their_classes_do(settings, weights):
    loss = class_weighted(**settings)
    found = loss.weights(torch.tensor(TARGETS))
    np.testing.assert_allclose(found, TARGETS @ np.array(weights), rtol=1e-12)
    expected = F.cross_entropy(torch.tensor(LOGITS), torch.tensor(TARGETS), reduction="none")
    np.testing.assert_allclose(of(loss), expected, rtol=1e-12)


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_adjusted_logits_are_equation_10(tau):
    shares = np.array(COUNTS) / sum(COUNTS)
    expected = -(TARGETS * np.log(softmax(LOGITS + tau * np.log(shares)))).sum(1)
    found = of(logit_adjusted(class_counts=COUNTS, tau=tau))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "loss", [class_weighted(class_weights=[1.0, 2.0]), logit_adjusted(class_counts=[3, 4])]
)
def test_another_number_of_classes_is_refused(loss):
    asked = getattr(loss, "weights", lambda _targets: of(loss))
    with pytest.raises(ConfigError, match="has 2 numbers; expected one for each of the 5 classes"):
        asked(torch.tensor(TARGETS))


@pytest.mark.parametrize(
    ("make", "parameter", "message"),
    [
        (lambda: focal(gamma=-1.0), "gamma", "is -1.0; expected a number of at least 0"),
        (lambda: focal(gamma=math.nan), "gamma", "is nan; expected a number of at least 0"),
        (lambda: binary_cross_entropy(threshold=1.0), "threshold", "is 1.0; expected 0 to below 1"),
        (class_weighted, "class_weights", "is None; expected weights, or class_counts"),
        (
            lambda: class_weighted(class_weights=[1.0], class_counts=[1]),
            "class_weights",
            r"is \[1.0\]; expected weights, or class_counts",
        ),
        (lambda: class_weighted(class_weights=[0.0, 0.0]), "class_weights", "is 0 for every class"),
        (lambda: class_weighted(class_counts=[0, 1]), "class_counts", r"\[0\] is 0; expected at l"),
        (lambda: logit_adjusted(class_counts=[]), "class_counts", "is empty; expected a count"),
        (lambda: logit_adjusted(class_counts=[1], tau=0.0), "tau", "is 0.0; expected a number ab"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, parameter, message):
    with pytest.raises(ConfigError, match=message) as error:
        make()
    assert error.value.parameter == parameter
