"""A few faults of each sort, so that ``make trust`` brings no surprise; and its arithmetic."""

from __future__ import annotations

import pytest

from tests.trust.__main__ import all_checks
from tests.trust.attempts import attempt, orphans
from tests.trust.cases import COMPARED, EQUAL, FAULTS, Budget, Outcome, skipped
from tests.trust.promises import PROMISES
from tests.trust.report import Result, machine, render

QUICK = ("R1", "C1", "C4", "D5")  # what no other test does as well


@pytest.mark.parametrize("name", QUICK)
def test_a_few_faults_of_a_sort_are_stood(tmp_path, name):
    check = all_checks()[name]

    outcomes = list(check.run(Budget(scratch=tmp_path, is_fast=True)))

    assert outcomes
    assert [f"{o.name}: {o.figure}" for o in outcomes if not o.passed] == []


def test_every_promise_is_tried_and_every_check_is_a_promise():
    named = {name for promise in PROMISES for name in promise.checks}

    assert named >= all_checks().keys()


def test_an_attempt_that_outlives_its_limit_is_killed_and_counted(tmp_path):
    ended = attempt(_sleep, log=tmp_path / "log", timeout=0.5)

    assert (ended.hung, ended.code) == (True, -9)
    assert orphans() == []


def _sleep() -> None:
    import time

    time.sleep(60)


def test_the_document_adds_up_what_was_seen_and_names_what_failed_or_was_skipped():
    outcomes = (
        Outcome(name="a", passed=True, counts={FAULTS: 3, COMPARED: 1, EQUAL: 1}),
        Outcome(
            name="b", passed=False, figure="differs", counts={FAULTS: 2, COMPARED: 1, EQUAL: 0}
        ),
        skipped("c", "no root"),
    )
    result = Result(id="R1", title="kills", seconds=7.4, is_fast=False, outcomes=outcomes)

    text = render({"machine": machine(), "checks": {"R1": result.summary()}})

    assert "faults injected 5, 1 of 2 cases as promised, finals byte-equal 1 of 2" in text
    assert "* R1, c: no root\n* **R1, b: failed**: differs" in text
    assert "| R1 | kills | 1 of 2 |" in text
