"""Recipes train with the settings that their sources state, written down here a second time."""

from __future__ import annotations

from functools import cache

import pytest

from cifarzoo import config
from cifarzoo.components.run import Run
from cifarzoo.protocols import Timestamp
from cifarzoo.results import tables

STEPS = 390  # of an epoch of 128 images
ROWS = [row for table in tables.tables().values() for row in table.rows.values() if row.recipe]
# Batch, rate, decay, epochs; decayed parameters, BatchNorm's group, largest gradient.
WRN = (128, 0.1, 5e-4, 200, "all", None, None)
SHAKE = (128, 0.2, 1e-4, 1800, "all", 64, None)
PYRAMID = (128, 0.1, 1e-4, 300, "all", None, None)
AA_SHAKE = (128, 0.01, 1e-3, 1800, "all", None, 5.0)
SETTINGS = {
    "autoaugment_pyramid272": (64, 0.05, 5e-5, 1800, "all", None, 5.0),
    "autoaugment_shake26_2x32d": AA_SHAKE,
    "autoaugment_shake26_2x96d": AA_SHAKE,
    "autoaugment_shake26_2x112d": AA_SHAKE,
    "autoaugment_wrn28_10": (128, 0.1, 5e-4, 200, "all", None, 5.0),
    "cutout_resnet18": WRN,
    "cutout_wrn28_10": WRN,
    "flax_cifar_pyramid272": (256, 0.1, 5e-4, 1800, "all", 32, 5.0),
    "flax_cifar_shake26_2x96d": (256, 0.02, 1e-3, 1800, "all", 32, 5.0),
    "flax_cifar_wrn28_10": (256, 0.1, 5e-4, 200, "all", 32, 5.0),
    "hysts_wrn28_10": (64, 0.1, 5e-4, 200, "all", None, None),
    "hysts_wrn28_10_cutout": (128, 0.2, 5e-4, 200, "all", None, None),
    "hysts_wrn28_10_mixup": (128, 0.2, 5e-4, 200, "all", None, None),
    "pyramid": (256, 0.1, 1e-4, 300, "flax2020", 32, None),
    "pyramid_cosine1800": (256, 0.1, 1e-4, 1800, "flax2020", 32, None),
    "pyramid110_a84": PYRAMID,
    "pyramid110_a270": PYRAMID,
    "pyramid164_a270": PYRAMID,
    "pyramid200_a240": PYRAMID,
    "pyramid272_a200": PYRAMID,
    "pyramid272_a200_shakedrop": PYRAMID,
    "resnet18_cutout": WRN,
    "shake26_2x32d": SHAKE,
    "shake26_2x32d_ee": SHAKE,
    "shake26_2x32d_sei": SHAKE,
    "shake26_2x32d_ssb": SHAKE,
    "shake26_2x64d": SHAKE,
    "shake26_2x96d": SHAKE,
    "shake26_2x96d_cutout": SHAKE,
    "wrn26_10": (256, 0.1, 5e-4, 200, "flax2020", None, None),
    "wrn26_10_8gpu": (256, 0.1, 5e-4, 200, "flax2020", 32, None),
    "wrn26_6_ss": (256, 0.1, 5e-4, 200, "flax2020", None, None),
    "wrn26_6_ss_8gpu": (256, 0.1, 5e-4, 200, "flax2020", 32, None),
    "wrn26_6_ss_cosine1800": (256, 0.1, 5e-4, 1800, "flax2020", None, None),
    "wrn26_6_ss_cosine1800_8gpu": (256, 0.1, 5e-4, 1800, "flax2020", 32, None),
    "wrn28_10": WRN,
    "wrn28_10_cutout": WRN,
    "wrn28_10_dropout": WRN,
    "wrn40_10_dropout": WRN,
}
# What multiplies the rate from the first step of an epoch on.
PAPER_DROPS = {59: 1.0, 60: 0.2, 120: 0.04, 160: 0.008, 199: 0.008}
CUTOUT_DROPS = {60: 1.0, 61: 0.2, 121: 0.04, 161: 0.008}
PYRAMID_DROPS = {149: 1.0, 150: 0.1, 225: 0.01, 299: 0.01}
DROPS = {
    "wrn28_10": PAPER_DROPS,
    "wrn40_10_dropout": PAPER_DROPS,
    "hysts_wrn28_10": PAPER_DROPS,
    "cutout_resnet18": CUTOUT_DROPS,
    "wrn28_10_cutout": CUTOUT_DROPS,
    "pyramid110_a84": PYRAMID_DROPS,
    "pyramid272_a200_shakedrop": PYRAMID_DROPS,
    "wrn26_10_8gpu": {60: 1.0, 61: 0.2, 121: 0.04, 161: 0.008},
    "shake26_2x96d": {0: 1.0, 900: 0.5},
    "flax_cifar_wrn28_10": {0: 1.0, 100: 0.5},
    "autoaugment_pyramid272": {0: 1.0, 900: 0.5},
}
CROP_FIRST = ["pad_crop", "flip", "normalize"]  # zeros are black
NORMALIZE_FIRST = ["normalize", "pad_crop", "flip"]  # zeros are the dataset's mean
AUGMENTATIONS = {
    "wrn26_10": (CROP_FIRST, "reflect"),
    "wrn28_10": (CROP_FIRST, "reflect"),
    "flax_cifar_wrn28_10": (CROP_FIRST, "reflect"),
    "flax_cifar_wrn28_10_aa": (["auto_augment", *CROP_FIRST, "cutout"], "reflect"),
    "cutout_wrn28_10": (CROP_FIRST, "zero"),
    "wrn28_10_cutout": ([*CROP_FIRST, "cutout"], "zero"),
    "hysts_wrn28_10": (CROP_FIRST, "zero"),
    "shake26_2x96d": (NORMALIZE_FIRST, "zero"),
    "shake26_2x96d_cutout": ([*NORMALIZE_FIRST, "cutout"], "zero"),
    "pyramid272_a200": (NORMALIZE_FIRST, "zero"),
    "autoaugment_wrn28_10": (NORMALIZE_FIRST, "zero"),
    "autoaugment_wrn28_10_cutout": ([*NORMALIZE_FIRST, "cutout"], "zero"),
    "autoaugment_wrn28_10_aa": (["auto_augment", *NORMALIZE_FIRST, "cutout"], "zero"),
}


@cache
def run_of(recipe: str) -> Run:
    return config.load(f"{recipe}.gin").build()


@pytest.mark.parametrize("recipe", SETTINGS)
def test_a_recipe_has_the_settings_of_its_source(recipe):
    run = run_of(recipe)
    sgd = run.optimizer.keywords
    assert SETTINGS[recipe] == (
        run.batch_size,
        sgd["lr"],
        sgd["weight_decay"],
        run.epochs,
        run.weight_decay_policy,
        run.bn_group_size,
        sgd.get("clip_norm"),
    )
    assert run.clip_norm is None  # no source clips without the decay
    assert (sgd["momentum"], sgd["nesterov"]) == (0.9, True)


@pytest.mark.parametrize("recipe", DROPS)
def test_the_rate_falls_in_the_epochs_of_the_source(recipe):
    run = run_of(recipe)
    schedule = run.schedule()
    factors = {
        epoch: schedule(Timestamp(epoch * STEPS, STEPS, run.epochs * STEPS))
        for epoch in DROPS[recipe]
    }
    assert factors == pytest.approx(DROPS[recipe])


@pytest.mark.parametrize("recipe", AUGMENTATIONS)
def test_images_are_augmented_in_the_order_of_the_source(recipe):
    names = [getattr(each, "func", each).__name__ for each in run_of(recipe).augmentations]
    [crop] = [
        each for each in run_of(recipe).augmentations if "mode" in getattr(each, "keywords", {})
    ]
    assert (names, crop.keywords["mode"], crop.keywords["padding"]) == (*AUGMENTATIONS[recipe], 4)


@pytest.mark.parametrize(
    ("recipe", "modes"),
    {
        "shake26_2x32d": {},
        "shake26_2x32d_ssb": {"per": "batch"},
        "shake26_2x32d_sei": {"backward": "even"},
        "shake26_2x32d_ee": {"forward": "even", "backward": "even"},
        "autoaugment_shake26_2x32d": {"distribution": "ratio"},
    }.items(),
)
def test_shake_shake_is_of_the_published_mode(recipe, modes):
    [shake] = run_of(recipe).regularizers
    assert getattr(shake, "keywords", {}) == modes


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_a_row_trains_for_as_many_epochs_as_were_published(row):
    loaded = config.load(row.recipe, sets=row.sets)
    [epochs, batch_size] = (
        loaded.bindings[f"run.{name}"].value for name in ("epochs", "batch_size")
    )
    max_steps = loaded.bindings.get("run.max_steps")
    if max_steps and max_steps.value:
        epochs = max_steps.value / (50_000 // batch_size)
    assert row.epochs == pytest.approx(epochs, abs=0.05)
