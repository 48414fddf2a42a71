"""Every recipe takes steps on the stand-in, captured where they can be: ``make null-cuda``."""

from __future__ import annotations

import pytest

from cifarzoo.config.files import recipes
from tests.null_cuda import stand_in
from tests.null_cuda.test_counts import GRAPH, answers

CHOOSES = "speedrun94.gin"  # images by their loss, which the host reads
EAGER = {"davda54_wrn_sam.gin", "davda54_wrn_asam.gin", CHOOSES}


@pytest.mark.timeout(3600)  # a hundred recipes
def test_no_step_of_a_recipe_waits_for_the_device(tmp_path):
    if reason := stand_in.why_not():
        pytest.skip(f"no stand-in for CUDA here: {reason}")
    names = [name for name, path in recipes().items() if path.parent.name != "bases"]

    found = answers([[name, GRAPH] for name in names], tmp_path)

    assert len(found) == len(names) > 90
    assert [each for each in found if "error" in each] == []
    assert [each["recipe"] for each in found if each["wait"]] == [CHOOSES]
    assert [each["recipe"] for each in found if each["to_device_pageable"]] == []
    assert {each["recipe"] for each in found if each["graph"] != 1} == EAGER
