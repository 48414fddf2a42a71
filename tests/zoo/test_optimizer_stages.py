"""Regularizers around the optimizer, against the papers' equations in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Timestamp
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.regularizers.average.swa import lawa, swa
from cifarzoo.zoo.regularizers.optimizer.gradient_centralization import gradient_centralization
from cifarzoo.zoo.regularizers.optimizer.sam import asam, sam

RNG = np.random.default_rng(0)
KERNEL, BIAS = RNG.standard_normal((3, 2, 2, 2)), RNG.standard_normal(3)
SCALES = RNG.random(KERNEL.shape) + 0.5, RNG.random(3) + 0.5
RATE, DECAY = 0.1, 0.02


def gradient_of(weights):
    """Of a function that is no quadratic, so that the climb changes the direction too."""
    return [s * (w**3 - 1) for s, w in zip(SCALES, weights, strict=True)]


class Loop:
    """Two parameters, SGD and a closure, which counts its calls."""

    def __init__(self, *regularizers, **settings):
        self.weights = [torch.nn.Parameter(torch.tensor(each)) for each in (KERNEL, BIAS)]
        settings = {"momentum": 0.0, "nesterov": False, "weight_decay": DECAY} | settings
        self.optimizer = sgd([{"params": self.weights}], lr=RATE, **settings)
        for regularizer in regularizers:
            self.optimizer = regularizer.optimizer(self.optimizer)
        self.seen = []

    def closure(self):
        numbers = [w.detach().numpy().copy() for w in self.weights]
        self.seen.append(numbers)
        for weight, gradient in zip(self.weights, gradient_of(numbers), strict=True):
            weight.grad = torch.tensor(gradient)
        return torch.tensor(float(len(self.seen)))

    def after(self, steps):
        for _ in range(steps):
            self.optimizer.step(self.closure)
        return [w.detach().numpy() for w in self.weights]


def assert_equal(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def norm_of(parts):
    return np.sqrt(sum((part**2).sum() for part in parts))


@pytest.mark.parametrize("kind", ["sam", "asam"])
def test_sam_and_asam_are_algorithm_1(kind):
    weights = [KERNEL, BIAS]
    for _ in range(4):
        gradients = gradient_of(weights)
        sizes = [np.abs(weights[0]) + 0.02, np.ones(3)] if kind == "asam" else [1.0, 1.0]
        scaled = [t * g for t, g in zip(sizes, gradients, strict=True)]
        climb = [0.3 * t * g / norm_of(scaled) for t, g in zip(sizes, scaled, strict=True)]
        uphill = gradient_of([w + e for w, e in zip(weights, climb, strict=True)])
        weights = [w - RATE * (g + DECAY * w) for w, g in zip(weights, uphill, strict=True)]

    loop = Loop(sam(rho=0.3) if kind == "sam" else asam(rho=0.3, eta=0.02))
    assert_equal(loop.after(4), weights)
    assert len(loop.seen) == 8


def test_sam_reports_the_loss_of_its_first_pass_and_goes_back_to_the_bit():
    loop = Loop(sam(rho=0.3), weight_decay=0.0)
    loop.optimizer.param_groups[0]["lr"] = 0.0
    assert loop.optimizer.step(loop.closure) == 1.0
    assert all(
        torch.equal(w, torch.tensor(o)) for w, o in zip(loop.weights, (KERNEL, BIAS), strict=True)
    )


def test_sam_does_not_move_where_the_gradient_is_zero():
    weight = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = sam().optimizer(sgd([{"params": [weight]}], weight_decay=0.0))

    def closure():
        weight.grad = torch.zeros(2, 2)
        return torch.tensor(0.0)

    optimizer.step(closure)
    assert torch.equal(weight.data, torch.ones(2, 2))


@pytest.mark.parametrize("kernels_only", [True, False])
def test_gradients_are_centred_by_equation_1(kernels_only):
    matrix = torch.nn.Parameter(torch.tensor(KERNEL.reshape(3, 8)))
    loop = Loop(gradient_centralization(kernels_only=kernels_only), weight_decay=0.0)
    found = loop.after(1)
    gradients = gradient_of([KERNEL, BIAS])
    flat = gradients[0].reshape(3, 8)
    mean = flat.mean(1)[:, None, None, None]
    assert_equal(found, [KERNEL - RATE * (gradients[0] - mean), BIAS - RATE * gradients[1]])

    optimizer = gradient_centralization(kernels_only=kernels_only).optimizer(
        sgd([{"params": [matrix]}], lr=RATE, momentum=0.0, nesterov=False, weight_decay=0.0)
    )
    matrix.grad = torch.tensor(flat)
    optimizer.step()
    centred = flat if kernels_only else flat - flat.mean(1, keepdims=True)
    np.testing.assert_allclose(matrix.detach(), KERNEL.reshape(3, 8) - RATE * centred, rtol=1e-12)


def test_wrappers_may_stand_around_each_other_in_any_order():
    inside = Loop(gradient_centralization(), sam(rho=0.3)).after(3)
    outside = Loop(sam(rho=0.3), gradient_centralization()).after(3)
    for found in (inside, outside):
        change = found[0] - KERNEL
        assert np.abs(change).max() > 0.01
    weights = [KERNEL, BIAS]
    for _ in range(3):  # centred before the climb too
        gradients = gradient_of(weights)
        gradients[0] = gradients[0] - gradients[0].mean((1, 2, 3), keepdims=True)
        climb = [0.3 * g / norm_of(gradients) for g in gradients]
        uphill = gradient_of([w + e for w, e in zip(weights, climb, strict=True)])
        uphill[0] = uphill[0] - uphill[0].mean((1, 2, 3), keepdims=True)
        weights = [w - RATE * (g + DECAY * w) for w, g in zip(weights, uphill, strict=True)]
    assert_equal(outside, weights)


def test_the_state_of_a_wrapper_is_its_optimizers():
    loop = Loop(sam(), momentum=0.9)
    loop.after(2)
    state = loop.optimizer.state_dict()
    other = Loop(sam(), momentum=0.9)
    other.optimizer.load_state_dict(state)
    assert torch.equal(
        other.optimizer.state[other.weights[0]]["momentum_buffer"],
        loop.optimizer.state[loop.weights[0]]["momentum_buffer"],
    )


STEPS, STEPS_PER_EPOCH = 40, 4


def averaged(regularizer, resume_at=None):
    """The average after each step of a network whose weight is the number of the step."""
    model = torch.nn.Linear(1, 1, bias=False)
    average, found = regularizer.average(model), []
    for step in range(STEPS):
        if step == resume_at:
            state = average.state_dict()
            average = regularizer.average(model)
            average.load_state_dict(state)
        average.begin_step(Timestamp(step, STEPS_PER_EPOCH, STEPS))
        with torch.no_grad():
            model.weight.fill_(step + 1.0)
        average.update_parameters(model)
        found.append(average.module.weight.item())
    return found


def test_swa_is_the_mean_of_the_ends_of_the_last_epochs():
    found = averaged(swa(start=0.5, every_epochs=2.0))
    points = [24, 32, 40]  # ends of the 6th, 8th and 10th epoch
    for step, value in enumerate(found, start=1):
        taken = [point for point in points if point <= step]
        expected = np.mean(taken) if taken else step
        assert value == pytest.approx(expected, rel=1e-6)


def test_a_last_step_that_ends_no_epoch_is_in_the_mean_too():
    assert averaged(swa(start=0.5, every_epochs=3.0))[-1] == pytest.approx(np.mean([24, 36, 40]))


def test_lawa_is_the_mean_of_the_latest_few():
    found = averaged(lawa(num_points=3, every_epochs=1.0))
    for step, value in enumerate(found, start=1):
        taken = [point for point in range(4, 41, 4) if point <= step][-3:]
        assert value == pytest.approx(np.mean(taken) if taken else step, rel=1e-6)


@pytest.mark.parametrize(
    "regularizer", [swa(start=0.2), lawa(num_points=3, every_epochs=0.5), lawa(num_points=1)]
)
def test_averages_go_on_from_their_state(regularizer):
    assert averaged(regularizer, resume_at=23) == averaged(regularizer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sam(rho=0.0), "rho is 0.0; expected a number above 0"),
        (lambda: asam(eta=-1.0), "eta is -1.0; expected a number of at least 0"),
        (lambda: swa(start=1.0), "start is 1.0; expected 0 to below 1"),
        (lambda: swa(every_epochs=0.0), "every_epochs is 0.0; expected a number above 0"),
        (lambda: lawa(num_points=0), "num_points is 0; expected at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
