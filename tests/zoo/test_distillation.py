"""Distillation against the same by hand, in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import SupportsTeacher, Timestamp
from cifarzoo.zoo.regularizers.network.distillation import distillation, soft_target_loss

N, K = 6, 10


def softmax(x):
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def by_hand(logits, taught, temperature):
    p, q = softmax(taught / temperature), softmax(logits / temperature)
    return temperature**2 * (p * (np.log(p) - np.log(q))).sum(1).mean()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_the_soft_targets_loss_and_its_gradient_are_those_of_the_equation(temperature):
    rng = np.random.default_rng(0)
    logits, taught = 4 * rng.standard_normal((2, N, K))
    given = torch.tensor(logits, requires_grad=True)

    loss = soft_target_loss(given, torch.tensor(taught), temperature=temperature)
    loss.backward()

    assert float(loss.detach()) == pytest.approx(by_hand(logits, taught, temperature), rel=1e-12)
    # Section 2.1 of the paper: 1/T (q - p), times T squared.
    apart = softmax(logits / temperature) - softmax(taught / temperature)
    np.testing.assert_allclose(given.grad, temperature * apart / N, rtol=1e-10, atol=1e-15)


def test_a_network_that_says_what_its_teacher_says_has_no_loss():
    logits = torch.randn(N, K).double()
    assert abs(float(soft_target_loss(logits, logits + 3, temperature=4.0))) < 1e-14


class Pass:
    """A forward pass as the engine gives it, of a linear network that changes its images."""

    def __init__(self):
        self.model, self.moment = nn.Linear(4, K).double(), Timestamp(0, 1, 10)

    def __call__(self, images, targets):
        return self.model(images), targets, images.new_tensor(0.5)


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_the_whole_loss_is_the_weighted_mean_of_both_and_the_teacher_gets_no_gradient(weight):
    torch.manual_seed(0)
    teacher, forward = nn.Linear(4, K).double(), Pass()
    images, targets = torch.randn(N, 4).double(), torch.eye(K)[:N].double()
    made = distillation(teacher="runs/t", temperature=3.0, weight=weight)
    assert isinstance(made, SupportsTeacher)
    made.take_teacher(teacher)

    logits, aims, penalty = made.network(forward, images, targets, None)
    whole = made.loss(F.cross_entropy)(logits, aims) + penalty
    whole.backward()

    given, taught = (net(images).detach().numpy() for net in (forward.model, teacher))
    labels = -np.log(softmax(given)[range(N), range(N)]).mean()
    expected = 0.5 + (1 - weight) * labels + weight * by_hand(given, taught, 3.0)
    assert float(whole.detach()) == pytest.approx(expected, rel=1e-12)
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.grad is not None for p in forward.model.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; expected a number above 0"),
        ({"weight": 0.0}, "weight is 0.0; expected above 0 to 1"),
        ({"weight": 1.5}, "weight is 1.5; expected above 0 to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        distillation(teacher="runs/t", **settings)
