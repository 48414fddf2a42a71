"""Every case of bad input gets its exit code and its one line; see ``trust/bad_input``."""

from __future__ import annotations

import pytest

from tests.trust.bad_input.areas import AREAS
from tests.trust.bad_input.check import tried


@pytest.mark.parametrize("area", AREAS)
def test_bad_input_is_refused_in_one_line_without_torch(area: str):
    wrong = {case["name"]: case["problems"] for case in tried(area, "--no-torch")}

    assert wrong
    assert not {name: problems for name, problems in wrong.items() if problems}
