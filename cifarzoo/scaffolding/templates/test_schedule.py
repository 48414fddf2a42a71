"""Tests of my_schedule: what cifarzoo relies on, and what is its own."""

import cifarzoo.testing
import pytest
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Timestamp

from my_schedule import my_schedule

test_contract = cifarzoo.testing.contract("my_schedule", plugin="my_schedule.py")


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (50, 0.1 + 0.9 / 4), (100, 0.1)])
def test_it_is_the_formula(step, expected):
    factor = my_schedule(power=2.0, final=0.1)

    assert factor(Timestamp(step, 10, 100)) == pytest.approx(expected)


def test_it_refuses_what_is_out_of_range():
    with pytest.raises(ConfigError, match=r"power is 0\.0; expected a number above 0"):
        my_schedule(power=0.0)
