"""Every recipe takes steps on the stand-in, captured where they can be: ``make null-cuda``."""

from __future__ import annotations

import pytest

from cifarzoo.config.files import recipes
from tests.null_cuda import stand_in
from tests.null_cuda.test_counts import GRAPH, answers

EAGER: set[str] = set()  # what acts on the host in each step


@pytest.mark.timeout(3600)  # a hundred recipes
def test_no_step_of_a_recipe_waits_for_the_device(tmp_path):
    if reason := stand_in.why_not():
        pytest.skip(f"no stand-in for CUDA here: {reason}")
    names = [name for name, path in recipes().items() if path.parent.name != "bases"]

    found = answers([[name, GRAPH] for name in names], tmp_path)

    assert len(found) == len(names) > 90
    assert [each for each in found if "error" in each] == []
    assert {each["recipe"] for each in found if each["wait"] or each["to_device_pageable"]} == set()
    eager = {each["recipe"] for each in found if each["graph"] != 1}
    assert eager == EAGER
