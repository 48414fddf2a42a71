"""Optimizers against their papers' algorithms, written out in NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from cifarzoo.engine.fitting import MisfitError, fitting_optimizer
from cifarzoo.errors import ConfigError
from cifarzoo.zoo.optimizers.adan import adan
from cifarzoo.zoo.optimizers.lamb import lamb
from cifarzoo.zoo.optimizers.lars import lars
from cifarzoo.zoo.optimizers.lion import lion
from cifarzoo.zoo.optimizers.rmsprop import rmsprop
from cifarzoo.zoo.optimizers.soap import refreshed, soap

RATES = [0.1, 0.1, 0.05, 0.02, 0.02, 0.01, 0.01]  # set before each step, as the engine does
RNG = np.random.default_rng(0)
KERNEL, BIAS = RNG.standard_normal((12, 3, 2, 2)), RNG.standard_normal(5)
GRADIENTS = [(RNG.standard_normal(KERNEL.shape), RNG.standard_normal(5)) for _ in RATES]
DECAYS = (0.3, 0.0)  # of the kernel, and of the bias, which is spared
ALL = [adan, lamb, lars, lion, rmsprop, soap]


WHOLE = np.s_[:]


def trained(factory, part=WHOLE, **settings):
    """Both parameters after a few steps; ``part`` of the kernel is trained."""
    kernel, bias = (torch.nn.Parameter(torch.tensor(each)) for each in (KERNEL[part], BIAS))
    groups = [{"params": [kernel]}, {"params": [bias], "weight_decay": 0.0}]
    optimizer = factory(groups, weight_decay=DECAYS[0], **settings)
    for rate, gradients in zip(RATES, GRADIENTS, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        kernel.grad, bias.grad = torch.tensor(gradients[0][part]), torch.tensor(gradients[1])
        optimizer.step()
    return kernel.detach().numpy(), bias.detach().numpy()


@dataclass
class Now:
    """Where a loop stands: step from 1, rate, decay, what was kept, and of which parameter."""

    t: int
    rate: float
    decay: float
    kept: dict[str, Any]
    is_kernel: bool


def looped(step, part=WHOLE):
    """What ``step(p, g, now)`` makes of both parameters."""
    results = []
    for i, start in enumerate((KERNEL[part], BIAS)):
        p, kept = start.copy(), {}
        for t, (rate, gradients) in enumerate(zip(RATES, GRADIENTS, strict=True), start=1):
            g = gradients[i][part] if i == 0 else gradients[i]
            p = step(p, g, Now(t, rate, DECAYS[i], kept, i == 0))
        results.append(p)
    return tuple(results)


def assert_equal(found, expected, rtol=1e-11):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-13)


def test_lion_is_algorithm_2():
    def step(p, g, now):
        m = now.kept.get("m", 0 * p)
        update = np.sign(0.8 * m + 0.2 * g)
        now.kept["m"] = 0.95 * m + 0.05 * g
        return p - now.rate * (update + now.decay * p)

    assert_equal(trained(lion, betas=[0.8, 0.95]), looped(step))


def test_adan_is_algorithm_1_with_the_authors_corrections():
    def step(p, g, now):
        difference = g - now.kept.get("g", g)
        m = now.kept["m"] = 0.9 * now.kept.get("m", 0 * p) + 0.1 * g
        v = now.kept["v"] = 0.8 * now.kept.get("v", 0 * p) + 0.2 * difference
        n = now.kept["n"] = 0.7 * now.kept.get("n", 0 * p) + 0.3 * (g + 0.8 * difference) ** 2
        now.kept["g"] = g
        eta = now.rate / (np.sqrt(n / (1 - 0.7**now.t)) + 1e-6)
        direction = m / (1 - 0.9**now.t) + 0.8 * v / (1 - 0.8**now.t)
        return (p - eta * direction) / (1 + now.decay * now.rate)

    assert_equal(trained(adan, betas=[0.9, 0.8, 0.7], eps=1e-6), looped(step))


@pytest.mark.parametrize("nesterov", [True, False])
def test_lars_is_algorithm_1(nesterov):
    def step(p, g, now):
        norm = np.linalg.norm(p)
        local = 0.02 * norm / (np.linalg.norm(g) + now.decay * norm) if now.is_kernel else 1.0
        scaled = now.rate * local * (g + now.decay * p)
        m = now.kept["m"] = 0.9 * now.kept.get("m", 0 * p) + scaled
        return p - (scaled + 0.9 * m if nesterov else m)

    assert_equal(trained(lars, trust=0.02, nesterov=nesterov), looped(step))


def test_lamb_is_algorithm_2():
    def step(p, g, now):
        m = now.kept["m"] = 0.8 * now.kept.get("m", 0 * p) + 0.2 * g
        v = now.kept["v"] = 0.9 * now.kept.get("v", 0 * p) + 0.1 * g**2
        r = m / (1 - 0.8**now.t) / (np.sqrt(v / (1 - 0.9**now.t)) + 1e-5)
        update = r + now.decay * p
        ratio = np.linalg.norm(p) / np.linalg.norm(update) if now.is_kernel else 1.0
        return p - now.rate * ratio * update

    assert_equal(trained(lamb, betas=[0.8, 0.9], eps=1e-5), looped(step))


@pytest.mark.parametrize("centered", [True, False])
def test_rmsprop_is_its_formula(centered):
    def step(p, g, now):
        g = g + now.decay * p
        v = now.kept["v"] = 0.8 * now.kept.get("v", 0 * p) + 0.2 * g**2
        a = now.kept["a"] = 0.8 * now.kept.get("a", 0 * p) + 0.2 * g
        root = np.sqrt(v - a**2 if centered else v) + 1e-5
        m = now.kept["m"] = 0.7 * now.kept.get("m", 0 * p) + g / root
        return p - now.rate * m

    found = trained(rmsprop, alpha=0.8, momentum=0.7, eps=1e-5, centered=centered)
    assert_equal(found, looped(step), rtol=1e-9)


@pytest.mark.parametrize(
    ("part", "max_dim"),
    [
        (WHOLE, 100),  # 12 x 12, a basis on both sides
        (WHOLE, 11),  # on none
        (np.s_[:4], 4),  # 4 x 12, on the left one
        (np.s_[:, :1, :1], 2),  # 12 x 2, on the right one
    ],
)
def test_soap_is_algorithm_3_in_the_authors_order(part, max_dim):
    def basis_of(covariance):
        return np.linalg.eigh(covariance)[1][:, ::-1]

    def step(p, g, now):
        shape, g = p.shape, g.reshape(len(g), -1)
        sides = [n for n in (0, 1) if now.is_kernel and g.shape[n] <= max_dim]
        outer = (g @ g.T, g.T @ g)
        if sides and now.t == 1:
            now.kept["l"] = [0.1 * each for each in outer]
            now.kept["q"] = [basis_of(each) for each in now.kept["l"]]
            return p
        done = now.t - bool(sides)
        left = now.kept["q"][0] if 0 in sides else np.eye(len(g))
        right = now.kept["q"][1] if 1 in sides else np.eye(g.shape[1])
        turned = left.T @ g @ right
        m = now.kept["m"] = 0.8 * now.kept.get("m", 0 * g) + 0.2 * g
        v = now.kept["v"] = 0.9 * now.kept.get("v", 0 * g) + 0.1 * turned**2
        n = (left.T @ m @ right) / (1 - 0.8**done) / (np.sqrt(v / (1 - 0.9**done)) + 1e-6)
        new = p * (1 - now.rate * now.decay) - now.rate * (left @ n @ right.T).reshape(shape)
        for side in sides:
            now.kept["l"][side] = 0.9 * now.kept["l"][side] + 0.1 * outer[side]
            if done % 2 == 0:
                q = now.kept["q"][side]
                order = np.argsort(-np.diag(q.T @ now.kept["l"][side] @ q))
                now.kept["v"] = np.take(now.kept["v"], order, axis=side)
                now.kept["q"][side] = np.linalg.qr(now.kept["l"][side] @ q[:, order])[0]
        return new

    found = trained(soap, betas=[0.8, 0.9], eps=1e-6, basis_steps=2, max_dim=max_dim, part=part)
    assert_equal(found, looped(step, part), rtol=1e-8)


def test_a_basis_of_another_shape_is_refused_before_it_is_loaded():
    weight = torch.nn.Parameter(torch.randn(3, 4))
    optimizer = soap([{"params": [weight]}])
    weight.grad = torch.randn(3, 4)
    optimizer.step()
    state = optimizer.state_dict()
    assert fitting_optimizer(optimizer, state, 1) == state

    state["state"][0] |= {"right_basis": torch.eye(3)}
    with pytest.raises(MisfitError, match=r"0.right_basis is \(3, 3\) .*; expected \(4, 4\)"):
        fitting_optimizer(optimizer, state, 1)


def test_repeated_turns_come_to_the_eigenvectors():
    square = torch.randn(6, 6, dtype=torch.float64)
    covariance = square @ square.T + torch.diag(torch.arange(6.0, dtype=torch.float64) * 3)
    basis = torch.eye(6, dtype=torch.float64)
    for _ in range(500):
        basis, _ = refreshed(basis, covariance)
    _, vectors = np.linalg.eigh(covariance.numpy())
    overlap = np.abs(vectors[:, ::-1].T @ basis.numpy())
    np.testing.assert_allclose(overlap, np.eye(6), atol=1e-6)


@pytest.mark.parametrize("factory", ALL)
def test_each_lowers_a_quadratic_and_calls_its_closure(factory):
    weight = torch.nn.Parameter(torch.full((3, 4), 2.0))
    optimizer = factory([{"params": [weight]}], lr=0.01, weight_decay=0.0)
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        losses.append(loss.item())
        return loss

    for _ in range(30):
        returned = optimizer.step(closure)
    assert returned.item() == losses[-1] < losses[0]


@pytest.mark.parametrize("factory", ALL)
def test_a_layer_of_zeros_has_a_finite_first_step(factory):
    weight = torch.nn.Parameter(torch.zeros(3, 4))
    optimizer = factory([{"params": [weight]}])
    for gradient in (torch.zeros(3, 4), torch.ones(3, 4), torch.zeros(3, 4)):
        weight.grad = gradient
        optimizer.step()
    assert torch.isfinite(weight).all()


@pytest.mark.parametrize(
    ("factory", "parameter", "value", "message"),
    [
        (lion, "betas", [0.9], r"is \[0.9\]; expected two numbers"),
        (lion, "lr", 0.0, "is 0.0; expected a number above 0"),
        (adan, "betas", [0.9, 0.9], r"is \[0.9, 0.9\]; expected three numbers"),
        (adan, "betas", [0.9, 0.9, 1.0], r"\[2\] is 1.0; expected 0 to below 1"),
        (adan, "eps", 0.0, "is 0.0; expected a number above 0"),
        (lars, "trust", 0.0, "is 0.0; expected a number above 0"),
        (lars, "momentum", 1.0, "is 1.0; expected 0 to below 1"),
        (lamb, "betas", [0.9], "expected two numbers"),
        (lamb, "weight_decay", -1.0, "is -1.0; expected a number of at least 0"),
        (rmsprop, "alpha", 1.0, "is 1.0; expected 0 to below 1"),
        (soap, "basis_steps", 0, "is 0; expected at least 1"),
        (soap, "max_dim", 0, "is 0; expected at least 1"),
        (soap, "lr", math.nan, "is nan; expected a number above 0"),
    ],
)
def test_values_out_of_range_are_refused_in_words(factory, parameter, value, message):
    with pytest.raises(ConfigError, match=message) as error:
        factory([{"params": [torch.nn.Parameter(torch.ones(1))]}], **{parameter: value})
    assert error.value.parameter == parameter
