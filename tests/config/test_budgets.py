"""Shorter trainings see the whole schedule, and every recipe has them."""

import pytest

from cifarzoo import config
from cifarzoo.config import Config
from cifarzoo.config.budgets import shortened
from cifarzoo.protocols import Timestamp

RECIPES = list(config.recipes())


def shorter(recipe: str, budget: str, *sets: str) -> Config:
    return shortened(config.load(recipe, sets=sets), budget)


def of_run(loaded: Config, parameter: str) -> object:
    return loaded.bindings[f"run.{parameter}"].value


def test_full_changes_nothing():
    whole = config.load("wrn26_10.gin")
    assert shortened(whole, "full") is whole


@pytest.mark.parametrize(
    ("recipe", "epochs", "short"),
    [("wrn26_10.gin", 200, 10), ("wrn26_6_ss_cosine1800.gin", 1800, 90), ("airbench94.gin", 10, 1)],
)
def test_short_has_a_twentieth_of_the_epochs_and_at_least_one(recipe, epochs, short):
    assert of_run(config.load(recipe), "epochs") == epochs
    assert of_run(shorter(recipe, "short"), "epochs") == short


@pytest.mark.parametrize("budget", ["short", "smoke"])
@pytest.mark.parametrize(
    ("recipe", "sets"),
    [
        ("wrn26_10.gin", ()),
        ("pyramid.gin", ("multistep.warmup_epochs=30.0",)),
        ("wrn26_6_ss_cosine1800.gin", ("cosine.warmup_epochs=90.0",)),
        ("wrn26_10.gin", ("multistep.unit='fraction'", "multistep.milestones=[0.3, 0.6, 0.8]")),
    ],
)
def test_the_rate_is_the_same_at_the_same_part_of_the_run(recipe, sets, budget):
    whole, less = config.load(recipe, sets=sets), shorter(recipe, budget, *sets)
    steps = 100_000
    for step in range(0, steps, 997):
        factors = []
        for loaded in (whole, less):
            per_epoch = steps / of_run(loaded, "epochs")
            moment = Timestamp(step=step, steps_per_epoch=per_epoch, total_steps=steps)
            factors.append(loaded.build().schedule()(moment))
        assert factors[0] == pytest.approx(factors[1], rel=1e-9), step


def test_an_end_in_steps_shrinks_with_the_epochs():
    assert of_run(config.load("airbench94.gin"), "max_steps") == 476
    assert of_run(shorter("airbench94.gin", "short"), "max_steps") == 48


def test_smoke_is_two_steps_with_groups_within_the_batch():
    loaded = shorter("wrn26_10.gin", "smoke", "run.bn_group_size=32", "run.micro_batch_size=64")
    names = ("batch_size", "bn_group_size", "micro_batch_size", "train_images", "epochs")
    assert [of_run(loaded, name) for name in names] == [32, 16, 16, 64, 1]


def test_smoke_never_makes_a_batch_larger():
    loaded = shorter("wrn26_10.gin", "smoke", "run.batch_size=8")
    assert of_run(loaded, "batch_size") == 8


@pytest.mark.parametrize("budget", ["short", "smoke"])
def test_every_recipe_has_its_shorter_forms(budget):
    assert len(RECIPES) > 10
    for recipe in RECIPES:
        assert shorter(recipe, budget).text() != config.load(recipe).text()


def test_smoke_keeps_few_images_for_validation_and_trains_on_as_many_as_without():
    loaded = shorter("wrn26_10.gin", "smoke", "run.validation_images=5000")
    assert [of_run(loaded, name) for name in ("train_images", "validation_images")] == [80, 16]
