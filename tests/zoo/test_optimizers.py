"""Optimizers against their papers' formulas, written out in NumPy."""

import math

import numpy as np
import pytest
import torch

from cifarzoo.errors import ConfigError
from cifarzoo.zoo.optimizers.adamw import adamw
from cifarzoo.zoo.optimizers.sgd import sgd

RATES = [0.1, 0.1, 0.02, 0.02, 0.004]  # the rate is set before each step, as the engine does
RNG = np.random.default_rng(0)
START = RNG.standard_normal((2, 7))  # row 0 is decayed, row 1 isn't
GRADIENTS = RNG.standard_normal((len(RATES), 2, 7))


def trained(factory, **settings):
    decayed, spared = (torch.nn.Parameter(torch.tensor(row)) for row in START)
    groups = [{"params": [decayed]}, {"params": [spared], "weight_decay": 0.0}]
    optimizer = factory(groups, **settings)
    for rate, gradients in zip(RATES, GRADIENTS, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        decayed.grad, spared.grad = torch.tensor(gradients)
        optimizer.step()
    return np.stack([decayed.detach().numpy(), spared.detach().numpy()])


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_equals_a_loop_over_its_formula(nesterov):
    p, m, decay = START.copy(), np.zeros_like(START), np.array([[5e-4], [0]])
    for rate, gradients in zip(RATES, GRADIENTS, strict=True):
        g = gradients + decay * p
        m = 0.9 * m + g
        p -= rate * (g + 0.9 * m) if nesterov else rate * m

    found = trained(sgd, momentum=0.9, nesterov=nesterov, weight_decay=5e-4)

    np.testing.assert_allclose(found, p, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("settings", [{}, {"nesterov": False}, {"clip_norm": 1e9}])
def test_sgd_takes_gradients_that_come_late_or_are_missing(settings):
    present = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [1, 0]], bool)  # a step a line
    p, m = START.copy(), np.zeros_like(START)
    for rate, gradients, rows in zip(RATES, GRADIENTS, present, strict=True):
        g = gradients + 5e-4 * p
        m[rows] = 0.9 * m[rows] + g[rows]
        p[rows] -= rate * (g + 0.9 * m if settings.get("nesterov", True) else m)[rows]

    weights = [torch.nn.Parameter(torch.tensor(row)) for row in START]
    optimizer = sgd([{"params": weights}], **settings)
    for rate, gradients, rows in zip(RATES, GRADIENTS, present, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        for weight, gradient, is_there in zip(weights, gradients, rows, strict=True):
            weight.grad = torch.tensor(gradient) if is_there else None
        optimizer.step()

    np.testing.assert_allclose(torch.stack(weights).detach(), p, rtol=1e-14, atol=1e-15)


def test_a_late_momentum_has_the_bits_of_a_first_one():
    gradients = torch.randn(5, 2, 1000)
    weights, alone = ([torch.nn.Parameter(torch.ones(1000)) for _ in range(2)] for _ in range(2))
    together = sgd([{"params": weights}])
    for step, gradient in enumerate(gradients):
        weights[0].grad = gradient[0].clone()
        weights[1].grad = gradient[1].clone() if step >= 2 else None
        together.step()

    for weight, first, row in zip(alone, (0, 2), (0, 1), strict=True):
        optimizer = sgd([{"params": [weight]}])
        for gradient in gradients[first:]:
            weight.grad = gradient[row].clone()
            optimizer.step()

    assert torch.equal(torch.stack(weights), torch.stack(alone))


def test_sgd_without_momentum_is_gradient_descent():
    p = START.copy()
    for rate, gradients in zip(RATES, GRADIENTS, strict=True):
        p -= rate * gradients
    found = trained(sgd, momentum=0.0, nesterov=False, weight_decay=0.0)
    np.testing.assert_allclose(found, p, rtol=1e-14, atol=1e-15)


def test_a_clipped_gradient_has_the_decay_in_it():
    limit, p, m, decay = 3.0, START.copy(), np.zeros_like(START), np.array([[0.5], [0]])
    norms = []
    for rate, gradients in zip(RATES, GRADIENTS, strict=True):
        g = gradients + decay * p
        norms.append(np.linalg.norm(g))
        g *= min(1.0, limit / (norms[-1] + 1e-6))  # PyTorch's own 1e-6
        m = 0.9 * m + g
        p -= rate * (g + 0.9 * m)

    found = trained(sgd, weight_decay=0.5, clip_norm=limit)

    np.testing.assert_allclose(found, p, rtol=1e-14, atol=1e-15)
    assert min(norms) < limit < max(norms)


def test_a_limit_that_is_never_reached_changes_next_to_nothing():
    found = trained(sgd, weight_decay=0.5, clip_norm=1e9)
    np.testing.assert_allclose(found, trained(sgd, weight_decay=0.5), rtol=1e-14, atol=1e-15)


def test_adamw_equals_a_loop_over_its_formula():
    p, m, v, decay = START.copy(), 0 * START, 0 * START, np.array([[0.05], [0]])
    for t, (rate, g) in enumerate(zip(RATES, GRADIENTS, strict=True), start=1):
        p -= rate * decay * p
        m = 0.8 * m + 0.2 * g
        v = 0.95 * v + 0.05 * g**2
        p -= rate * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-6)

    found = trained(adamw, betas=[0.8, 0.95], eps=1e-6, weight_decay=0.05)

    np.testing.assert_allclose(found, p, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("factory", [sgd, adamw])
@pytest.mark.parametrize("is_decayed", [True, False])
def test_a_group_may_be_empty(factory, is_decayed):
    parameter = torch.nn.Parameter(torch.ones(3))
    groups = [{"params": []}, {"params": [], "weight_decay": 0.0}]
    groups[0 if is_decayed else 1]["params"].append(parameter)
    optimizer = factory(groups, lr=0.1, weight_decay=0.5)

    parameter.grad = torch.zeros(3)  # so that the decay alone can move it
    optimizer.step()

    expected = 1 - 0.1 * 0.5 * (1.9 if factory is sgd else 1)  # Nesterov's 1 + momentum
    torch.testing.assert_close(parameter.data, torch.full((3,), expected if is_decayed else 1.0))


@pytest.mark.parametrize(
    ("factory", "parameter", "value", "message"),
    [
        (sgd, "lr", 0.0, "is 0.0; expected a number above 0"),
        (sgd, "lr", -0.1, "is -0.1; expected a number above 0"),
        (sgd, "lr", math.nan, "is nan; expected a number above 0"),
        (sgd, "lr", math.inf, "is inf; expected a number above 0"),
        (sgd, "momentum", 1.0, "is 1.0; expected 0 to below 1"),
        (sgd, "momentum", -0.5, "is -0.5; expected 0 to below 1"),
        (sgd, "weight_decay", -1e-4, "is -0.0001; expected a number of at least 0"),
        (sgd, "weight_decay", math.inf, "is inf; expected a number of at least 0"),
        (sgd, "clip_norm", 0.0, "is 0.0; expected a number above 0 or None"),
        (sgd, "clip_norm", math.nan, "is nan; expected a number above 0 or None"),
        (adamw, "lr", 0, "is 0; expected a number above 0"),
        (adamw, "betas", [0.9], r"is \[0.9\]; expected two numbers"),
        (adamw, "betas", [0.9, 1.0], r"\[1\] is 1.0; expected 0 to below 1"),
        (adamw, "eps", 0.0, "is 0.0; expected a number above 0"),
        (adamw, "weight_decay", math.nan, "is nan; expected a number of at least 0"),
    ],
)
def test_values_out_of_range_are_refused_in_words(factory, parameter, value, message):
    with pytest.raises(ConfigError, match=message) as error:
        factory([{"params": [torch.nn.Parameter(torch.ones(1))]}], **{parameter: value})
    assert error.value.parameter == parameter


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ConfigError, match="nesterov is True; expected False where momentum is 0"):
        sgd([{"params": []}], momentum=0.0)
