"""Schedule-free training against the paper's equations, written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Timestamp
from cifarzoo.zoo.optimizers.adamw import adamw
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.regularizers.average.schedule_free import schedule_free
from cifarzoo.zoo.schedules.constant import constant

STEPS, STEPS_PER_EPOCH, RATE, DECAY, BETA = 12, 4, 0.1, 0.05, 0.8
START = np.random.default_rng(0).standard_normal(6)
SCALE = np.linspace(0.5, 3, 6)  # of the quadratic that is minimised


def gradient_of(y):
    return SCALE * (y - 1)


class Weights(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(START))
        self.register_buffer("count", torch.zeros(()))


def trained(factory, warmup_epochs=0.0, **settings):
    model = Weights()
    schedule = constant(warmup_epochs=warmup_epochs)
    average = schedule_free(beta=BETA, warmup_epochs=warmup_epochs).average(model)
    optimizer = factory([{"params": [model.w]}], weight_decay=DECAY, **settings)
    for step in range(STEPS):
        moment = Timestamp(step, STEPS_PER_EPOCH, STEPS)
        average.begin_step(moment)
        optimizer.param_groups[0]["lr"] = RATE * schedule(moment)
        model.w.grad = torch.tensor(gradient_of(model.w.detach().numpy()))
        optimizer.step()
        model.count += 1
        average.update_parameters(model)
    return average, model


def equations(direction_of, rates):
    """x and y of the paper; ``direction_of(g, t)`` is what the base optimizer makes of g."""
    x, z, total = START.copy(), START.copy(), 0.0
    for t, rate in enumerate(rates, start=1):
        y = (1 - BETA) * z + BETA * x
        z = z - rate * (direction_of(gradient_of(y), t) + DECAY * y)
        total += rate**2
        c = rate**2 / total if total else 0.0
        x = (1 - c) * x + c * z
    return x, (1 - BETA) * z + BETA * x


@pytest.mark.parametrize("warmup_epochs", [0.0, 1.5])
def test_with_sgd_it_is_the_papers_algorithm(warmup_epochs):
    average, model = trained(sgd, warmup_epochs, momentum=0.0, nesterov=False)
    rates = RATE * np.array(
        [min(1, t / STEPS_PER_EPOCH / warmup_epochs) if warmup_epochs else 1 for t in range(STEPS)]
    )
    x, y = equations(lambda g, _t: g, rates)
    np.testing.assert_allclose(average.module.w, x, rtol=1e-12)
    np.testing.assert_allclose(model.w.detach(), y, rtol=1e-12)


def test_with_adamw_without_momentum_it_is_the_papers_too():
    v = np.zeros(6)

    def direction_of(g, t):
        nonlocal v
        v = 0.99 * v + 0.01 * g**2
        return g / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)

    average, model = trained(adamw, betas=(0.0, 0.99))
    x, y = equations(direction_of, [RATE] * STEPS)
    np.testing.assert_allclose(average.module.w, x, rtol=1e-10)
    np.testing.assert_allclose(model.w.detach(), y, rtol=1e-10)


def test_the_average_of_equal_weights_is_the_mean_of_all_z():
    zs = []
    model = Weights()
    average = schedule_free(beta=0.0).average(model)  # y is z
    optimizer = sgd([{"params": [model.w]}], lr=RATE, momentum=0.0, nesterov=False)
    for _ in range(5):
        model.w.grad = torch.tensor(gradient_of(model.w.detach().numpy()))
        optimizer.step()
        zs.append(model.w.detach().numpy().copy())
        average.update_parameters(model)
    np.testing.assert_allclose(average.module.w, np.mean(zs, axis=0), rtol=1e-12)


def test_buffers_are_the_networks():
    average, _ = trained(sgd, momentum=0.0, nesterov=False)
    assert average.module.count == STEPS


def test_it_goes_on_from_its_state():
    first, model = trained(sgd, momentum=0.0, nesterov=False)
    second = schedule_free(beta=BETA).average(Weights())
    second.load_state_dict(first.state_dict())
    clone = Weights()
    clone.load_state_dict(model.state_dict())
    for average, network in ((first, model), (second, clone)):
        with torch.no_grad():
            network.w.mul_(0.9)
        average.update_parameters(network)
    assert torch.equal(first.module.w, second.module.w)
    assert torch.equal(model.w, clone.w)


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"beta": 1.0}, "beta is 1.0; expected 0 to below 1"), ({"warmup_epochs": -1.0}, "is -1.0")],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        schedule_free(**setting)
