"""Intervals and verdicts, against scipy's own, against exact numbers and against simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from cifarzoo.results.statistics import compare_with_published, quantile, sample, variance_of

ERRORS = [4.41, 4.52, 4.38, 4.60, 4.47]


def test_mean_and_interval_are_those_of_scipy():
    found = sample(ERRORS)
    low, high = stats.t.interval(0.95, 4, np.mean(ERRORS), stats.sem(ERRORS))
    assert found.mean == pytest.approx(np.mean(ERRORS))
    assert found.sd == pytest.approx(np.std(ERRORS, ddof=1))
    assert found.interval == (pytest.approx(low), pytest.approx(high))


def test_two_values_use_the_quantile_of_one_degree_of_freedom():
    # The Cauchy distribution's, which has a closed form.
    assert quantile(2) == pytest.approx(math.tan(math.pi * 0.475))


def test_of_one_seed_nothing_is_told():
    found = compare_with_published([4.45], 3.0, spread=1.0, rounding=0.005)
    assert (found.verdict, found.expected) == ("cannot tell", None)
    assert (found.ours.sd, found.ours.interval) == (None, None)
    assert found.difference == pytest.approx(1.45)


def test_what_is_expected_is_the_prediction_interval_and_the_rounding():
    found = compare_with_published(ERRORS, 4.45, spread=1.0, rounding=0.005)
    half = stats.t.ppf(0.975, 4) * np.std(ERRORS, ddof=1) * math.sqrt(1 / 5 + 1) + 0.005
    assert found.expected == (
        pytest.approx(np.mean(ERRORS) - half),
        pytest.approx(np.mean(ERRORS) + half),
    )


@pytest.mark.parametrize(
    ("published", "verdict"), [(4.45, "within the interval"), (3.9, "differs"), (5.1, "differs")]
)
def test_the_verdict_says_whether_the_published_number_is_expected(published, verdict):
    found = compare_with_published(ERRORS, published, spread=1.0, rounding=0.005)
    assert found.verdict == verdict


def test_equal_seeds_leave_the_rounding_alone():
    inside = compare_with_published([4.45, 4.45], 4.454, spread=1.0, rounding=0.005)
    outside = compare_with_published([4.45, 4.45], 4.456, spread=1.0, rounding=0.005)
    assert (inside.verdict, outside.verdict) == ("within the interval", "differs")


@pytest.mark.parametrize(("statistic", "m"), [("one run", 1), ("mean", 5), ("median", 5)])
def test_of_equal_trainings_at_most_one_in_twenty_differs(statistic, m):
    """4,000 pairs of equal trainings: false alarms at 5 %, four standard errors and no more."""
    random = np.random.default_rng(0)
    trials, n = 4000, 3
    theirs = random.normal(4.0, 0.1, (trials, m))
    published = {"one run": theirs[:, 0], "mean": theirs.mean(1), "median": np.median(theirs, 1)}
    spread = variance_of(statistic, m)
    verdicts = [
        compare_with_published(list(ours), number, spread=spread, rounding=0).verdict
        for ours, number in zip(
            random.normal(4.0, 0.1, (trials, n)), published[statistic], strict=True
        )
    ]
    rate, error = verdicts.count("differs") / trials, math.sqrt(0.05 * 0.95 / trials)
    assert rate < 0.05 + 4 * error
    if statistic != "median":  # whose variance is taken for larger than it is
        assert rate > 0.05 - 4 * error


def test_a_median_strays_by_no_more_than_is_said():
    random = np.random.default_rng(1)
    for n in (1, 2, 3, 5, 9):
        measured = np.median(random.normal(0, 1, (200_000, n)), axis=1).var()
        assert measured < variance_of("median", n) * (1 + 4 * math.sqrt(2 / 200_000))
