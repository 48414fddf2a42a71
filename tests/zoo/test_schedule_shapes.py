"""Schedules step by step against PyTorch's, and against their papers' equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    OneCycleLR,
    PolynomialLR,
)

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Timestamp, warnings_of
from cifarzoo.zoo.schedules.exponential import exponential
from cifarzoo.zoo.schedules.inverse_sqrt import inverse_sqrt
from cifarzoo.zoo.schedules.linear import linear
from cifarzoo.zoo.schedules.one_cycle import one_cycle
from cifarzoo.zoo.schedules.polynomial import polynomial
from cifarzoo.zoo.schedules.sgdr import sgdr
from cifarzoo.zoo.schedules.trapezoid import trapezoid

STEPS, STEPS_PER_EPOCH, BASE = 140, 10, 0.1
KINDS = [exponential, inverse_sqrt, linear, polynomial, sgdr, trapezoid]


def rates(schedule, steps=STEPS):
    return np.array([BASE * schedule(Timestamp(i, STEPS_PER_EPOCH, steps)) for i in range(steps)])


def pytorchs(scheduler_of, steps=STEPS):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)
    scheduler = scheduler_of(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(found)


@pytest.mark.parametrize(
    ("schedule", "scheduler_of"),
    [
        (linear(), lambda o: LinearLR(o, 1.0, 0.0, total_iters=STEPS)),
        (linear(final=0.25), lambda o: LinearLR(o, 1.0, 0.25, total_iters=STEPS)),
        (polynomial(power=2.0), lambda o: PolynomialLR(o, STEPS, power=2.0)),
        (polynomial(), lambda o: PolynomialLR(o, STEPS, power=0.9)),
        (exponential(gamma=0.5), lambda o: ExponentialLR(o, 0.5 ** (1 / STEPS_PER_EPOCH))),
        (
            sgdr(cycle_epochs=2, cycle_mult=2, final=0.1),
            lambda o: CosineAnnealingWarmRestarts(o, 20, 2, eta_min=0.1 * BASE),
        ),
        (
            sgdr(cycle_epochs=2.5, cycle_mult=1),
            lambda o: CosineAnnealingWarmRestarts(o, 25, 1),
        ),
        (sgdr(cycle_epochs=1, cycle_mult=3), lambda o: CosineAnnealingWarmRestarts(o, 10, 3)),
        (one_cycle(), lambda o: OneCycleLR(o, BASE, STEPS)),
        (
            one_cycle(peak=0.4, div_factor=10, final_div_factor=100, anneal="linear"),
            lambda o: OneCycleLR(
                o,
                BASE,
                STEPS,
                pct_start=0.4,
                div_factor=10,
                final_div_factor=100,
                anneal_strategy="linear",
            ),
        ),
    ],
)
def test_every_rate_of_a_run_equals_pytorchs(schedule, scheduler_of):
    np.testing.assert_allclose(rates(schedule), pytorchs(scheduler_of), rtol=1e-9, atol=1e-13)


def test_a_staircase_equals_pytorchs_stepped_once_an_epoch():
    by_epoch = pytorchs(lambda o: ExponentialLR(o, 0.9), STEPS // STEPS_PER_EPOCH)
    found = rates(exponential(gamma=0.9, staircase=True))
    np.testing.assert_allclose(found, np.repeat(by_epoch, STEPS_PER_EPOCH), rtol=1e-12)


def test_an_inverse_root_with_its_warm_up_is_vaswanis_equation_3():
    warmup = 4 * STEPS_PER_EPOCH
    step = np.arange(1, STEPS)
    equation = np.minimum(step**-0.5, step * warmup**-1.5) * math.sqrt(warmup)  # 1 at its top
    found = rates(inverse_sqrt(timescale_epochs=4, warmup_epochs=4))
    np.testing.assert_allclose(found[1:], BASE * equation, rtol=1e-12)
    assert found[0] == 0


def test_a_trapezoid_rises_stays_and_falls():
    found = rates(trapezoid(warmup_epochs=2, decay=0.25, final=0.1)) / BASE
    first = STEPS * 3 // 4
    np.testing.assert_allclose(found[:20], np.arange(20) / 20)
    assert set(found[20 : first + 1]) == {1.0}
    line = np.linspace(1, 0.1, STEPS - first + 1)[:-1]
    np.testing.assert_allclose(found[first:], line, rtol=1e-12)


def test_a_trapezoid_that_holds_is_the_schedule_of_stochastic_weight_averaging():
    def factor(epoch: float, first: int = 80, final: float = 0.5) -> float:
        """The rate of timgaripov/swa, train.py, whose averaging begins in epoch ``first``."""
        share = epoch / first
        if share <= 0.5:
            return 1.0
        return 1 - (1 - final) * (share - 0.5) / 0.4 if share <= 0.9 else final

    schedule = trapezoid(decay=0.32, hold=0.28, final=0.5)
    found = [schedule(Timestamp(epoch, 1, 100)) for epoch in range(101)]
    assert found == pytest.approx([factor(epoch) for epoch in range(101)])


def test_a_trapezoids_root_is_haegeles_equation_1():
    found = rates(trapezoid(decay=0.2, shape="sqrt")) / BASE
    first = STEPS * 4 // 5
    left = np.arange(first, STEPS)
    equation = 1 - np.sqrt((left - first) / (STEPS - first))
    np.testing.assert_allclose(found[first:], equation, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_warm_up_multiplies_each_by_pytorchs_line(kind):
    line = pytorchs(lambda o: LambdaLR(o, lambda step: min(1, step / 35))) / BASE
    found = rates(kind(warmup_epochs=3.5))
    np.testing.assert_allclose(found, line * rates(kind(warmup_epochs=0.0)), rtol=1e-12)


@pytest.mark.parametrize("kind", [*KINDS, one_cycle])
@pytest.mark.parametrize("total", [1, 2, 3, 1000])
def test_a_run_of_any_length_has_factors_from_0_to_1(kind, total):
    factors = [kind()(Timestamp(step, 7, total)) for step in range(total)]
    assert all(0 <= factor <= 1 for factor in factors)


def test_a_run_that_ends_within_a_cycle_is_told():
    schedule = sgdr(cycle_epochs=10, cycle_mult=2)
    assert [warnings_of(schedule, whole) for whole in (10, 30, 70, 150)] == [[]] * 4
    assert warnings_of(schedule, 50) == [
        "the run (50 epochs) ends within a cycle, at a factor of 0.5"
    ]
    assert warnings_of(sgdr(cycle_epochs=3, cycle_mult=1), 300) == []


@pytest.mark.parametrize(
    ("make", "parameter", "message"),
    [
        (lambda: linear(final=1.5), "final", "is 1.5; expected 0 to 1"),
        (lambda: polynomial(power=0.0), "power", "is 0.0; expected a number above 0"),
        (lambda: exponential(gamma=1.1), "gamma", "is 1.1; expected above 0 to 1"),
        (lambda: exponential(gamma=0.0), "gamma", "is 0.0; expected above 0 to 1"),
        (lambda: inverse_sqrt(timescale_epochs=0), "timescale_epochs", "is 0; expected a number a"),
        (lambda: trapezoid(decay=0.0), "decay", "is 0.0; expected above 0 to 1"),
        (lambda: trapezoid(hold=0.9), "hold", "is 0.9; expected at most 1 - decay"),
        (lambda: trapezoid(shape="cosine"), "shape", "is 'cosine'; expected 'linear' or 'sqrt'"),
        (lambda: sgdr(cycle_epochs=0), "cycle_epochs", "is 0; expected a number above 0"),
        (lambda: sgdr(cycle_mult=0), "cycle_mult", "is 0; expected at least 1"),
        (lambda: one_cycle(peak=1.0), "peak", "is 1.0; expected 0 to below 1"),
        (lambda: one_cycle(div_factor=0.5), "div_factor", "is 0.5; expected a number of at least"),
        (lambda: one_cycle(anneal="cos"), "anneal", "is 'cos'; expected 'cosine' or 'linear'"),
        (lambda: trapezoid(warmup_epochs=-1), "warmup_epochs", "is -1; expected a number of at l"),
    ],
)
def test_settings_out_of_range_are_refused(make, parameter, message):
    with pytest.raises(ConfigError, match=message) as error:
        make()
    assert error.value.parameter == parameter
