"""Recipes train with the settings that their sources state, written down here a second time."""

from __future__ import annotations

from functools import cache

import pytest

from cifarzoo import config
from cifarzoo.components.run import Run
from cifarzoo.protocols import Timestamp

STEPS = 390  # of an epoch of 128 images
# Batch, rate, decay, epochs; decayed parameters, BatchNorm's group, largest gradient.
WRN = (128, 0.1, 5e-4, 200, "all", None, None)
SHAKE = (128, 0.2, 1e-4, 1800, "all", 64, None)
PYRAMID = (128, 0.1, 1e-4, 300, "all", None, None)
PLAIN = (128, 0.1, 1e-4, 200, "all", None, None)
DENSE = (64, 0.1, 1e-4, 300, "all", None, None)
HYSTS = (128, 0.1, 1e-4, 160, "all", None, None)
AA_SHAKE = (128, 0.01, 1e-3, 1800, "all", None, 5.0)
SETTINGS = {
    "akamaster_resnet20": PLAIN,
    "autoaugment_pyramid272": (64, 0.05, 5e-5, 1800, "all", None, 5.0),
    "autoaugment_shake26_2x32d": AA_SHAKE,
    "autoaugment_shake26_2x96d": AA_SHAKE,
    "autoaugment_shake26_2x112d": AA_SHAKE,
    "autoaugment_wrn28_10": (128, 0.1, 5e-4, 200, "all", None, 5.0),
    "cutmix_pyramid200": (64, 0.25, 1e-4, 300, "all", 32, None),
    "cutout_resnet18": WRN,
    "cutout_wrn28_10": WRN,
    "davda54_wrn": WRN,
    "davda54_wrn_asam": WRN,
    "davda54_wrn_sam": WRN,
    "densenet_40_k12": DENSE,
    "densenet_bc100_k12": DENSE,
    "densenet_bc190_k40": DENSE,
    "densenet_bc250_k24": DENSE,
    "flax_cifar_pyramid272": (256, 0.1, 5e-4, 1800, "all", 32, 5.0),
    "flax_cifar_shake26_2x96d": (256, 0.02, 1e-3, 1800, "all", 32, 5.0),
    "flax_cifar_wrn28_10": (256, 0.1, 5e-4, 200, "all", 32, 5.0),
    "hysts_densenet_bc100_k12": (32, 0.05, 1e-4, 300, "all", None, None),
    "hysts_preact20": (128, 0.2, 1e-4, 200, "all", None, None),
    "hysts_preact20x4": (128, 0.2, 1e-4, 200, "all", None, None),
    "hysts_preact56": (128, 0.2, 1e-4, 160, "all", None, None),
    "hysts_preact110": HYSTS,
    "hysts_resnet110": HYSTS,
    "hysts_resnext29_4x64d": (32, 0.025, 5e-4, 300, "all", None, None),
    "hysts_vgg15": HYSTS,
    "hysts_wrn28_10": (64, 0.1, 5e-4, 200, "all", None, None),
    "hysts_wrn28_10_cutout": (128, 0.2, 5e-4, 200, "all", None, None),
    "hysts_wrn28_10_mixup": (128, 0.2, 5e-4, 200, "all", None, None),
    "hysts_wrn28_10_ricap": (128, 0.2, 5e-4, 200, "all", None, None),
    "kuangliu_preact_resnet18": WRN,
    "kuangliu_resnet18": WRN,
    "kuangliu_resnext29_2x64d": WRN,
    "kuangliu_vgg16": WRN,
    "mmpretrain_resnet18": (128, 0.1, 1e-4, 200, "all", 16, None),
    "preact_resnet164_paper": (128, 0.01, 1e-4, 164, "all", 64, None),
    "preact_resnet1001_code": (64, 0.1, 1e-4, 200, "all", 32, None),
    "pyramid110_a84": PYRAMID,
    "pyramid110_a270": PYRAMID,
    "pyramid164_a270": PYRAMID,
    "pyramid200_a240": PYRAMID,
    "pyramid272_a200": PYRAMID,
    "pyramid272_a200_shakedrop": PYRAMID,
    "pyramid": (256, 0.1, 1e-4, 300, "flax2020", 32, None),
    "pyramid_cosine1800": (256, 0.1, 1e-4, 1800, "flax2020", 32, None),
    "resnet18_cutout": WRN,
    "resnet110_paper": (128, 0.01, 1e-4, 164, "all", None, None),
    "resnet110_stochastic_depth": (128, 0.1, 1e-4, 500, "all", None, None),
    "resnext29_8x64d": (128, 0.1, 5e-4, 300, "all", 16, None),
    "shake26_2x32d": SHAKE,
    "shake26_2x32d_ee": SHAKE,
    "shake26_2x32d_sei": SHAKE,
    "shake26_2x32d_ssb": SHAKE,
    "shake26_2x64d": SHAKE,
    "shake26_2x96d": SHAKE,
    "shake26_2x96d_cutout": SHAKE,
    "shake29_2x4x64d_sei": (32, 0.025, 5e-4, 1800, "all", 16, None),
    "swa_preact_resnet164": (128, 0.1, 3e-4, 150, "all", None, None),
    "swa_preact_resnet164_swa": (128, 0.1, 3e-4, 225, "all", None, None),
    "swa_wrn28_10": WRN,
    "swa_wrn28_10_swa": (128, 0.1, 5e-4, 300, "all", None, None),
    "uncertainty_wrn28_10": (512, 0.4, 4e-4, 200, "all", 64, None),
    "wrn26_6_ss": (256, 0.1, 5e-4, 200, "flax2020", None, None),
    "wrn26_6_ss_8gpu": (256, 0.1, 5e-4, 200, "flax2020", 32, None),
    "wrn26_6_ss_cosine1800": (256, 0.1, 5e-4, 1800, "flax2020", None, None),
    "wrn26_6_ss_cosine1800_8gpu": (256, 0.1, 5e-4, 1800, "flax2020", 32, None),
    "wrn26_10": (256, 0.1, 5e-4, 200, "flax2020", None, None),
    "wrn26_10_8gpu": (256, 0.1, 5e-4, 200, "flax2020", 32, None),
    "wrn28_10": WRN,
    "wrn28_10_cutout": WRN,
    "wrn28_10_dropout": WRN,
    "wrn40_10_dropout": WRN,
}
WITHOUT_NESTEROV = {
    *("akamaster_resnet20", "davda54_wrn", "davda54_wrn_asam", "davda54_wrn_sam"),
    *(
        "kuangliu_preact_resnet18",
        "kuangliu_resnet18",
        "kuangliu_resnext29_2x64d",
        "kuangliu_vgg16",
    ),
    *("mmpretrain_resnet18", "preact_resnet164_paper", "resnet110_paper"),
    *("swa_preact_resnet164", "swa_preact_resnet164_swa", "swa_wrn28_10", "swa_wrn28_10_swa"),
}
# What multiplies the rate from the first step of an epoch on.
PAPER_DROPS = {59: 1.0, 60: 0.2, 120: 0.04, 160: 0.008, 199: 0.008}
CUTOUT_DROPS = {60: 1.0, 61: 0.2, 121: 0.04, 161: 0.008}
PYRAMID_DROPS = {149: 1.0, 150: 0.1, 225: 0.01, 299: 0.01}
SWA_FALL = {0: 1.0, 75: 1.0, 105: 0.505, 135: 0.01, 149: 0.01}  # of 150 epochs, plain SGD
HYSTS_DROPS = {79: 1.0, 80: 0.1, 120: 0.01}
DROPS = {
    "hysts_densenet_bc100_k12": PYRAMID_DROPS,
    "hysts_preact20x4": {0: 1.0, 100: 0.5},
    "hysts_resnet110": HYSTS_DROPS,
    "hysts_resnext29_4x64d": PYRAMID_DROPS,
    "hysts_vgg15": HYSTS_DROPS,
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
    "akamaster_resnet20": {99: 1.0, 100: 0.1, 150: 0.01},
    "cutmix_pyramid200": PYRAMID_DROPS,
    "davda54_wrn": {60: 1.0, 61: 0.2, 121: 0.04, 161: 0.008},  # a step later
    "densenet_bc100_k12": {148: 1.0, 149: 0.1, 224: 0.01},
    "kuangliu_vgg16": {0: 1.0, 100: 0.5},
    "preact_resnet164_paper": {1: 1.0, 2: 10.0, 81: 10.0, 82: 1.0, 123: 0.1},
    "preact_resnet1001_code": {79: 1.0, 80: 0.1, 121: 0.01},
    "resnet110_paper": {1: 1.0, 2: 10.0, 81: 10.0, 82: 1.0, 123: 0.1},
    "resnet110_stochastic_depth": {248: 1.0, 249: 0.1, 374: 0.01},
    "resnext29_8x64d": {146: 1.0, 147: 0.1, 222: 0.01},
    "swa_preact_resnet164": SWA_FALL,
    "swa_preact_resnet164_swa": {0: 1.0, 63: 1.0, 88.2: 0.55, 113.4: 0.1, 224: 0.1},
    "swa_wrn28_10_swa": {80.5: 1.0, 112.7: 0.75, 144.9: 0.5, 299: 0.5},
    "uncertainty_wrn28_10": {0.5: 0.5, 1: 1.0, 60: 0.2, 120: 0.04, 160: 0.008},
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
    assert (sgd["momentum"], sgd["nesterov"]) == (0.9, recipe not in WITHOUT_NESTEROV)


@pytest.mark.parametrize("recipe", DROPS)
def test_the_rate_falls_in_the_epochs_of_the_source(recipe):
    run = run_of(recipe)
    schedule = run.schedule()
    factors = {
        epoch: schedule(Timestamp(round(epoch * STEPS), STEPS, run.epochs * STEPS))
        for epoch in DROPS[recipe]
    }
    assert factors == pytest.approx(DROPS[recipe], rel=1e-4)


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
