"""Every case of bad input gets its exit code and its one line; see ``trust/bad_input``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trust.bad_input.areas import AREAS
from tests.trust.bad_input.case import Case, attempt, problems
from tests.trust.bad_input.check import tried

EVERY = [case for cases in AREAS.values() for case in cases]
# Of those that need torch, the first of each row; `make trust` tries the others too.
WITH_TORCH = {case.row: case for case in reversed(EVERY) if case.needs_torch and not case.shell}


def test_bad_input_is_refused_in_one_line_without_torch():
    found = {case["name"]: case["problems"] for case in tried("--fast")}

    assert len(found) > 100
    assert not {name: problems for name, problems in found.items() if problems}


@pytest.mark.usefixtures("kernels_are_built")
@pytest.mark.parametrize("case", WITH_TORCH.values(), ids=lambda case: case.name)
def test_bad_input_is_refused_in_one_line(case: Case, tmp_path: Path):
    assert not problems(case, attempt(case, tmp_path))


def test_no_two_cases_have_one_name():
    names = [(case.row, case.name) for case in EVERY]

    assert len(set(names)) == len(names) >= 120
