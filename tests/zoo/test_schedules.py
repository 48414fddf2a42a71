"""Schedules against the recorded tables of the original code and against PyTorch's schedulers."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, MultiStepLR

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Timestamp
from cifarzoo.zoo.schedules.constant import constant
from cifarzoo.zoo.schedules.cosine import cosine
from cifarzoo.zoo.schedules.multistep import multistep

TABLES = np.load(Path(__file__).parents[1] / "fixtures" / "lr_schedules.npz")
STEPS_PER_EPOCH = 195
DROPS = {"milestones": [60, 120, 160], "factors": [0.2, 0.04, 0.008], "boundary": "after"}
FLOAT32_ROUNDING = 3 * 2**-27  # three units in the last place of a float32 rate just below 0.125


def rates(schedule, epochs, steps, steps_per_epoch=STEPS_PER_EPOCH):
    total = epochs * steps_per_epoch
    return np.array(
        [0.1 * schedule(Timestamp(int(step), steps_per_epoch, total)) for step in steps]
    )


def scheduled(scheduler_of, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = scheduler_of(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(found)


@pytest.mark.parametrize(
    ("table", "schedule", "epochs"),
    [
        ("stepped_200", multistep(**DROPS), 200),
        ("constant_200", constant(), 200),
        ("cosine_200", cosine(), 200),
        (
            "pyramid300_stepped",
            multistep(milestones=[150, 225], factors=[0.1, 0.01], boundary="after"),
            300,
        ),
    ],
)
def test_every_rate_of_a_whole_run_equals_the_original_codes(table, schedule, epochs):
    expected = TABLES[f"{table}/all_steps"]
    found = rates(schedule, epochs, range(len(expected)))
    assert len(expected) == epochs * STEPS_PER_EPOCH + 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=FLOAT32_ROUNDING)


def test_the_long_cosine_equals_the_original_codes_at_every_epoch():
    expected = TABLES["cosine_1800/at_epoch_start"]
    found = rates(cosine(), 1800, STEPS_PER_EPOCH * np.arange(1801))
    np.testing.assert_allclose(found, expected, rtol=0, atol=FLOAT32_ROUNDING)


@pytest.mark.parametrize(
    ("table", "schedule"),
    [
        ("stepped_200", multistep(**DROPS, warmup_epochs=5)),
        ("cosine_200", cosine(warmup_epochs=5)),
        ("constant", constant(warmup_epochs=5)),
    ],
)
def test_warmed_up_rates_equal_the_original_librarys(table, schedule):
    expected = TABLES[f"warm5_{table}/first_10_epochs"]
    found = rates(schedule, 200, range(len(expected)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=FLOAT32_ROUNDING)


def test_the_originals_drop_comes_one_step_after_the_milestone():
    steps = [11699, 11700, 11701]
    after = rates(multistep(**DROPS), 200, steps)
    at = rates(multistep(**DROPS | {"boundary": "at"}), 200, steps)
    np.testing.assert_allclose(after, [0.1, 0.1, 0.02])
    np.testing.assert_allclose(at, [0.1, 0.02, 0.02])


def test_multistep_equals_pytorchs_at_every_step():
    schedule = multistep(milestones=[3, 5.5, 9], factors=[0.2, 0.04, 0.008])
    expected = scheduled(lambda o: MultiStepLR(o, milestones=[30, 55, 90], gamma=0.2), 100)
    np.testing.assert_allclose(rates(schedule, 10, range(100), 10), expected, rtol=1e-12)


@pytest.mark.parametrize("final", [0.0, 0.05])
def test_cosine_equals_pytorchs_at_every_step(final):
    expected = scheduled(lambda o: CosineAnnealingLR(o, T_max=100, eta_min=0.1 * final), 100)
    found = rates(cosine(final=final), 10, range(100), 10)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_warm_up_equals_pytorchs_multiplicative_line():
    expected = scheduled(lambda o: LambdaLR(o, lambda step: min(1, step / 35)), 100)
    found = rates(constant(warmup_epochs=3.5), 10, range(100), 10)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("steps", [10, 100, 1000])
def test_milestones_in_fractions_move_with_the_length_of_the_run(steps):
    schedule = multistep(milestones=[0.3, 0.6], factors=[0.5, 0.25], unit="fraction")
    found = [schedule(Timestamp(step, 7, steps)) for step in range(steps)]
    tenth = steps // 10
    assert found == [1.0] * 3 * tenth + [0.5] * 3 * tenth + [0.25] * 4 * tenth


@given(
    steps_per_epoch=st.integers(1, 500),
    milestones=st.lists(st.integers(0, 300), min_size=1, max_size=6, unique=True),
)
def test_milestones_in_whole_epochs_fall_on_exactly_their_step(steps_per_epoch, milestones):
    milestones.sort()
    factors = [0.5**i for i in range(1, len(milestones) + 1)]
    schedule = multistep(milestones=milestones, factors=factors)
    for milestone, factor in zip(milestones, factors, strict=True):
        first = milestone * steps_per_epoch
        assert schedule(Timestamp(first, steps_per_epoch, 10**6)) == factor
        if first:
            assert schedule(Timestamp(first - 1, steps_per_epoch, 10**6)) > factor


def test_cosine_falls_to_its_final_factor_and_never_rises():
    schedule = cosine(final=0.1)
    factors = [schedule(Timestamp(step, 13, 1000)) for step in range(1001)]
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(0.1, abs=1e-15)
    assert all(later < earlier for earlier, later in itertools.pairwise(factors))


def test_a_shortened_run_is_told_what_it_never_reaches():
    schedule = multistep(**DROPS, warmup_epochs=20)
    assert schedule.warnings(150) == ["milestone 160 is past the end of the run (150 epochs)"]
    assert schedule.warnings(10) == [
        "milestone 60 is past the end of the run (10 epochs)",
        "milestone 120 is past the end of the run (10 epochs)",
        "milestone 160 is past the end of the run (10 epochs)",
        "warm-up of 20 epochs is longer than the run (10 epochs)",
    ]


def test_a_milestone_at_the_very_end_is_never_reached_either():
    schedule = multistep(milestones=[10], factors=[0.1])
    assert len(schedule.warnings(10)) == 1
    assert schedule.warnings(10.01) == []


def test_a_run_that_is_long_enough_is_told_nothing():
    fractions = multistep(milestones=[0.5, 0.9], factors=[0.1, 0.01], unit="fraction")
    for schedule in (multistep(**DROPS, warmup_epochs=5), cosine(warmup_epochs=5), constant()):
        assert schedule.warnings(200) == []
    assert fractions.warnings(0.01) == []


def test_a_warm_up_longer_than_the_run_is_told():
    assert cosine(warmup_epochs=5).warnings(2 / 3) == [
        "warm-up of 5 epochs is longer than the run (0.667 epochs)"
    ]


def drops(**changed):
    return lambda: multistep(**{"milestones": [1, 2], "factors": [0.1, 0.01]} | changed)


@pytest.mark.parametrize(
    ("make", "parameter", "message"),
    [
        (
            lambda: constant(warmup_epochs=-1),
            "warmup_epochs",
            "is -1; expected a number of at least 0",
        ),
        (lambda: cosine(warmup_epochs=math.inf), "warmup_epochs", "is inf; expected a number"),
        (lambda: cosine(warmup_epochs=math.nan), "warmup_epochs", "is nan; expected a number"),
        (lambda: cosine(final=1.5), "final", "is 1.5; expected 0 to 1"),
        (lambda: cosine(final=math.nan), "final", "is nan; expected 0 to 1"),
        (drops(milestones=[2, 1]), "milestones", r"is \[2, 1\]; expected numbers that rise"),
        (drops(milestones=[2, 2]), "milestones", r"is \[2, 2\]; expected numbers that rise"),
        (drops(milestones=[-1, 2]), "milestones", r"\[0\] is -1; expected a number of at least 0"),
        (drops(milestones=[1, math.nan]), "milestones", r"\[1\] is nan; expected a number"),
        (drops(milestones=[1, math.inf]), "milestones", r"\[1\] is inf; expected a number"),
        (
            drops(milestones=[0.5, 1.0], unit="fraction"),
            "milestones",
            r"is \[0.5, 1.0\]; expected fractions, from 0 to below 1",
        ),
        (drops(milestones=[], factors=[]), "milestones", "is empty; expected at least one"),
        (drops(factors=[0.1]), "factors", "has 1 values; expected one for each of the 2"),
        (drops(factors=[0.1, math.inf]), "factors", r"\[1\] is inf; expected a number"),
        (drops(factors=[0.1, -0.1]), "factors", r"\[1\] is -0.1; expected a number of"),
        (drops(unit="step"), "unit", "is 'step'; expected 'epoch' or 'fraction'"),
        (drops(boundary="on"), "boundary", "is 'on'; expected 'at' or 'after'"),
    ],
)
def test_values_out_of_range_are_refused_in_words(make, parameter, message):
    with pytest.raises(ConfigError, match=message) as error:
        make()
    assert error.value.parameter == parameter
