"""Comparisons of one's own runs: against scipy, against definitions, and by simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cifarzoo.results.comparing.differences import (
    compare_groups,
    difference,
    dunnett,
    holm,
    in_words,
    mcnemar,
    seeds_to_tell,
)

RNG = np.random.default_rng(0)


def by_seed(values, first=0):
    return dict(enumerate(map(float, values), first))


def test_the_same_seeds_are_paired_as_scipys_paired_test_has_it():
    a, b = RNG.normal(5, 0.3, 6), RNG.normal(4.8, 0.3, 6)
    found = difference(by_seed(a), by_seed(b))
    expected = stats.ttest_rel(b, a)
    assert found.is_paired
    assert found.n == 6
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(expected.confidence_interval(0.95))
    assert found.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert found.mean == pytest.approx(b.mean() - a.mean())


def test_other_seeds_are_compared_by_welch_as_scipy_has_it():
    a, b = RNG.normal(5, 0.1, 4), RNG.normal(4.8, 0.9, 7)
    found = difference(by_seed(a), by_seed(b, first=10))
    expected = stats.ttest_ind(b, a, equal_var=False)
    assert not found.is_paired
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(expected.confidence_interval(0.95))
    assert found.correlation is None


def test_seeds_that_one_side_alone_has_are_left_out_where_the_others_all_match():
    a, b = [5.0, 5.1, 5.3, 4.9], [4.0, 4.3]
    assert difference(by_seed(a), by_seed(b)) == difference(by_seed(a[:2]), by_seed(b))
    assert not difference(by_seed(a), by_seed([4.0, 4.3, 4.1], first=2)).is_paired


@pytest.mark.parametrize(("first", "second"), [([5.0], [4.0]), ([5.0, 5.1], [4.0])])
def test_one_seed_cannot_tell(first, second):
    found = difference(by_seed(first), by_seed(second))
    assert (found.p, found.interval) == (None, None)
    assert in_words(found) == "cannot tell: one seed"


def test_runs_without_any_spread_are_certain_or_equal():
    same = difference(by_seed([5.0, 5.0]), by_seed([5.0, 5.0]))
    other = difference(by_seed([5.0, 5.0]), by_seed([4.0, 4.0]))
    assert (same.p, other.p) == (1.0, 0.0)
    apart = difference(by_seed([5.0, 5.0]), by_seed([4.0, 4.0], first=5))
    assert (apart.p, apart.interval) == (0.0, (-1.0, -1.0))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_its_steps_reject(ps):
    """Step by step, as the paper has it: the smallest against alpha / k, and so on."""
    corrected = holm(ps)
    for alpha in (0.01, 0.05, 0.3):
        rejected = set()
        for rank, number in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
            if ps[number] * (len(ps) - rank) > alpha:
                break
            rejected.add(number)
        assert rejected == {i for i, p in enumerate(corrected) if p <= alpha}


def test_of_many_candidates_without_a_difference_one_in_twenty_studies_finds_one():
    """Family-wise error of at most 5 %; four standard errors of 2,000 studies are 1.9 %."""
    studies, alarms = 2000, 0
    for _ in range(studies):
        numbers = [by_seed(RNG.normal(5, 0.2, 5)) for _ in range(5)]
        found = compare_groups(numbers[0], numbers[1:])
        alarms += any(each.verdict != "cannot tell" for each in found)
    assert alarms / studies < 0.05 + 4 * math.sqrt(0.05 * 0.95 / studies)
    assert alarms > 0


def test_a_real_difference_is_found_with_its_sign():
    baseline = by_seed(RNG.normal(5, 0.1, 8))
    better, worse = (by_seed(RNG.normal(5 + shift, 0.1, 8)) for shift in (-1, 1))
    found = compare_groups(baseline, [better, worse])
    assert [each.verdict for each in found] == ["better", "worse"]
    assert in_words(found[0]).startswith("better by 1.0")
    assert in_words(found[1]).startswith(("worse by 0.9", "worse by 1.0"))


def test_what_is_lost_to_the_number_of_comparisons_is_said():
    baseline = by_seed([5.0, 5.1, 4.9, 5.05, 4.95])
    gaps = [-0.15, -0.05, -0.12, -0.03, -0.1]
    candidate = {seed: n + gaps[seed] for seed, n in baseline.items()}
    assert 0.01 < difference(baseline, candidate).p < 0.05
    none = [by_seed(RNG.normal(5, 0.2, 5)) for _ in range(9)]
    found = compare_groups(baseline, [candidate, *none])[0]
    assert in_words(found) == (
        "cannot tell, among so many comparisons; alone better by 0.09 (0.03 to 0.15)"
    )


def test_dunnett_is_scipys_and_gives_the_same_digits_each_time():
    groups = [by_seed(RNG.normal(5, 0.2, 5)) for _ in range(4)]
    found = dunnett(groups[0], groups[1:])
    assert found == dunnett(groups[0], groups[1:])
    lists = [list(group.values()) for group in groups]
    expected = stats.dunnett(*lists[1:], control=lists[0], random_state=1).pvalue
    assert found == pytest.approx(list(expected), abs=2e-3)
    assert dunnett(by_seed([5.0]), groups[1:]) is None
    assert dunnett(groups[0], groups[1:2] * 21) is None  # would take too long
    assert dunnett(groups[0], []) is None


def test_mcnemars_probability_is_that_of_a_fair_coin():
    first = [True] * 3 + [False] * 9 + [True] * 50
    second = [False] * 3 + [True] * 9 + [True] * 50
    only_first, only_second, p = mcnemar(first, second)
    assert (only_first, only_second) == (3, 9)
    assert p == pytest.approx(2 * sum(math.comb(12, k) for k in range(4)) / 2**12)
    assert mcnemar([True, False], [True, False]) == (0, 0, 1.0)


@pytest.mark.parametrize(("sd", "effect"), [(0.3, 0.3), (0.2, 0.1), (0.5, 1.0)])
def test_the_advised_number_of_seeds_tells_the_difference_four_times_in_five(sd, effect):
    n = seeds_to_tell(sd, effect)
    trials = RNG.normal(effect, sd, (4000, n))
    t = trials.mean(1) / trials.std(1, ddof=1) * math.sqrt(n)
    power = (t > stats.t.ppf(0.975, n - 1)).mean()
    assert power > 0.8 - 4 * math.sqrt(0.16 / 4000)
    if n > 2:
        fewer = trials[:, : n - 1]
        t = fewer.mean(1) / fewer.std(1, ddof=1) * math.sqrt(n - 1)
        power = (t > stats.t.ppf(0.975, n - 2)).mean()
        assert power < 0.8 + 4 * math.sqrt(0.16 / 4000)


def test_advice_ends_where_nobody_trains_as_many():
    assert seeds_to_tell(1.0, 0.05) is None
    values = [5.0, 6.0, 4.0, 7.0, 3.0, 5.2]
    found = compare_groups(by_seed(values), [by_seed(list(itertools.islice(values[::-1], 6)))])[0]
    assert in_words(found).startswith("cannot tell (-2.")
    assert in_words(found).endswith("; more than 1,000 seeds would tell 0.10")


def test_advice_names_more_seeds():
    found = compare_groups(by_seed([5.0, 5.4, 5.2]), [by_seed([4.8, 5.3, 4.9])])[0]
    assert found.verdict == "cannot tell"
    assert "more seed" in in_words(found)
    assert "would tell 0.20" in in_words(found)


def test_groups_of_equal_numbers_are_no_trouble():
    same, other = {0: 90.05, 1: 90.05}, {0: 89.8, 1: 90.1}

    assert dunnett(same, [same]) is None
    assert dunnett(same, [other, same]) is not None
