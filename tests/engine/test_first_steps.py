"""Twenty steps of each row of the Flax table, beside a reference that shares no code with us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from cifarzoo.engine import clock
from cifarzoo.results.tables import table
from tests.first_steps import engine, training
from tests.first_steps.outcome import Outcome, deviations
from tests.first_steps.rows import BATCH, ROWS, SHARE

# Of any value, relative to the largest of its kind; 3e-14 is reached.
TOLERANCE = 1e-9
FEW = 5  # steps after which rounding has not grown much
# The row, and the one detail of the reference that is changed.
MISTAKES: list[tuple[str, dict[str, Any]]] = [
    ("wrn26_10", {"padding": "symmetric"}),
    ("wrn26_10", {"is_unbiased": True}),
    ("wrn26_10", {"is_strict": False}),
    ("wrn26_10", {"border": "symmetric"}),
    ("wrn26_10", {"is_coupled": False}),
    ("wrn26_10_8gpu", {"group_size": BATCH}),
    ("wrn26_10_8gpu", {"decayed": "all"}),
    ("wrn26_6_ss_cosine1800", {"reuses_gates": True}),
    ("wrn26_6_ss_cosine1800", {"has_nesterov": False}),
    ("pyramid", {"reuses_gates": True}),
    ("pyramid", {"decayed": "kernels"}),
]

Trained = Callable[..., Outcome]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What the engine makes of a recipe, trained once."""

    @cache
    def train(recipe: str, **changes: Any) -> Outcome:
        folder: Path = tmp_path_factory.mktemp(recipe) / "run"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "SECONDS_BETWEEN_EVENTS", 0.0)  # so that every step is heard of
            return engine.train(replace(engine.short_run(recipe), **changes), folder)

    return train


@cache
def reference(recipe: str, **changes: Any) -> Outcome:
    start = engine.start(engine.short_run(recipe))
    return training.train(replace(ROWS[recipe], **changes), start, engine.images())


def test_every_row_of_the_table_has_a_reference():
    assert {f"{recipe}.gin" for recipe in ROWS} == {
        row.recipe for row in table("flax_gpu").rows.values()
    }


@pytest.mark.parametrize("recipe", ROWS)
def test_twenty_steps_of_a_row_equal_those_of_the_reference(trained: Trained, recipe: str):
    found = deviations(trained(recipe), reference(recipe))
    assert max(found.values()) < TOLERANCE, found


@pytest.mark.parametrize("kernels", ["torch", "fused"])
@pytest.mark.parametrize("recipe", ["wrn26_10", "wrn26_10_8gpu"])
def test_in_float32_steps_are_near_to_those_of_the_reference(
    trained: Trained, recipe: str, kernels: str
):
    found, exact = trained(recipe, precision="float32", kernels=kernels), reference(recipe)

    first = [outcome.losses["loss"][:FEW] for outcome in (found, exact)]
    # A ReLU whose input is 0 but for rounding may be on in one and off in the other.
    torch.testing.assert_close(*first, rtol=2e-3, atol=0)
    assert max(deviations(found, exact).values()) < 0.1


@pytest.mark.parametrize(("recipe", "mistake"), MISTAKES, ids=str)
def test_a_detail_that_is_wrong_shows(trained: Trained, recipe: str, mistake: dict[str, Any]):
    found = deviations(trained(recipe), reference(recipe, **mistake))
    assert max(found.values()) > 1e6 * TOLERANCE, found


def test_a_clipped_gradient_is_scaled_before_it_is_decayed(trained: Trained):
    limit = {"clip_norm": 2.0}  # some of the steps are above it
    clipped, free = reference("wrn26_10", **limit), reference("wrn26_10")
    assert max(deviations(trained("wrn26_10", **limit), clipped).values()) < TOLERANCE
    assert max(deviations(clipped, free).values()) > 1e6 * TOLERANCE


def test_micro_batches_of_a_group_take_the_same_steps(trained: Trained):
    found = deviations(trained("pyramid", micro_batch_size=SHARE), reference("pyramid"))
    assert max(found.values()) < TOLERANCE, found
