"""The test that stays valid under peeking: its formula, its interval, and its error rates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from cifarzoo.results.comparing.sequential import EVIDENCE, decide, e_value

STUDIES, MOST_PAIRS = 4000, 30
BOUND = 0.05 + 4 * math.sqrt(0.05 * 0.95 / STUDIES)  # four standard errors above 5 %


def normal(rng):
    return rng.normal(size=(STUDIES, MOST_PAIRS))


def heavy_tailed(rng):
    return rng.standard_t(3, size=(STUDIES, MOST_PAIRS)) / math.sqrt(3)


def unequal(rng):
    return rng.normal(size=(STUDIES, MOST_PAIRS)) * np.tile([0.5, 1.3], MOST_PAIRS // 2)


NOISE = {"normal": normal, "heavy-tailed": heavy_tailed, "unequal": unequal}


def ended(differences, effect):
    """The decision of a study that looks after each pair, and at how many pairs it ends."""
    for n in range(1, len(differences) + 1):
        found = decide(differences[:n], effect=effect)
        if found.decision != "cannot tell":
            return found.decision, n
    return "cannot tell", len(differences)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=12).filter(lambda d: np.std(d) > 1e-3))
def test_the_e_value_is_the_ratio_of_marginal_likelihoods(differences):
    """Of t under a true difference of N(0, g) deviations to t under none, by integration."""
    d = np.array(differences)
    n, t = len(d), d.mean() / d.std(ddof=1) * math.sqrt(len(d))

    def integrand(effect):
        return stats.nct.pdf(t, n - 1, effect * math.sqrt(n)) * stats.norm.pdf(effect)

    mixed, _ = integrate.quad(integrand, -8, 8, points=[0.0], limit=200)
    assert e_value(differences) == pytest.approx(mixed / stats.t.pdf(t, n - 1), rel=1e-3)


@given(
    st.lists(st.floats(-3, 3), min_size=5, max_size=12).filter(lambda d: np.std(d) > 1e-2),
    st.booleans(),
)
def test_at_the_ends_of_the_interval_the_evidence_is_just_enough(differences, is_low):
    low, high = decide(differences, effect=1).interval
    end = low if is_low else high
    assert e_value([d - end for d in differences]) == pytest.approx(EVIDENCE, rel=1e-6)


@given(st.lists(st.floats(-3, 3), max_size=4))
def test_fewer_than_five_pairs_never_can(differences):
    found = decide(differences, effect=0.1)
    if len(differences) < 2 or np.std(differences) > 1e-6:
        assert found.decision == "cannot tell"
        assert found.interval[1] - found.interval[0] > 0


@pytest.mark.parametrize("noise", NOISE)
def test_without_a_difference_one_is_seen_in_at_most_one_study_in_twenty(noise):
    studies = NOISE[noise](np.random.default_rng(1)).tolist()
    alarms = sum(ended(each, effect=1e-9)[0] in ("better", "worse") for each in studies)
    assert 0 < alarms / STUDIES < BOUND


@pytest.mark.parametrize(("sigma", "share"), [(0.7, 0.1), (1.0, 0.2)])
def test_skewed_noise_raises_more_alarms_as_the_report_says(sigma, share):
    rng = np.random.default_rng(5)
    noise = rng.lognormal(0, sigma, (STUDIES // 2, MOST_PAIRS)) - math.exp(sigma**2 / 2)
    alarms = sum(ended(each, effect=1e-9)[0] in ("better", "worse") for each in noise.tolist())
    assert alarms / len(noise) == pytest.approx(share, abs=4 * math.sqrt(share / len(noise)))


@pytest.mark.parametrize("noise", NOISE)
def test_a_difference_of_the_effect_is_denied_in_at_most_one_study_in_twenty(noise):
    effect = 1.0  # a deviation: a smaller one is never denied within thirty pairs
    studies = (NOISE[noise](np.random.default_rng(2)) + effect).tolist()
    denied = sum(ended(each, effect=effect)[0] == "no difference" for each in studies)
    assert denied / STUDIES < BOUND


def test_a_difference_of_one_deviation_takes_about_thirteen_pairs():
    rng = np.random.default_rng(3)
    ends = [ended((rng.normal(size=60) - 1).tolist(), 0.1) for _ in range(1000)]
    assert [decision for decision, _ in ends].count("better") >= 990
    assert 12 < np.mean([n for _, n in ends]) < 15


def test_no_difference_of_note_can_be_told():
    rng = np.random.default_rng(4)
    decision, n = ended((rng.normal(size=60) * 0.1).tolist(), effect=0.2)
    assert decision == "no difference"
    assert n < 15


def test_equal_runs_are_no_difference_and_a_constant_one_is_told():
    assert decide([0.0] * 6, effect=0.1).decision == "no difference"
    assert decide([-0.5] * 6, effect=0.1).decision == "better"
    assert decide([], effect=0.1).decision == "cannot tell"
