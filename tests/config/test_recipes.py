"""Every recipe passes check, and builds the network that its paper counted."""

import math
from functools import cache
from pathlib import Path

import pytest

from cifarzoo import config
from cifarzoo.engine.assembly.describe import Description, describe
from cifarzoo.errors import ConfigProblemsError
from cifarzoo.protocols import Timestamp

FOLDER = Path(__file__).parents[2] / "gin"
# Flax's from the original's own initialisation, those of other papers' networks from their authors'
# codes, ResNet-20's from table 6 of He's paper (0.27 M), ResNet-18's counted in its layers.
PARAMETERS = {
    "airbench94": 1_972_792 - 288 - 1_152,  # the paper's 1.97 M, but whitening kernels and scales
    "airbench95": 4_604_440,  # counted in its layers, as the next
    "airbench96": 9_918_776 - 288 - 3 * 1_024,
    "airbench94_muon": 1_972_792 - 288 - 1_152,
    "autoaugment_pyramid272_aa": 26_210_842,
    "autoaugment_shake26_2x32d_aa": 2_923_162,
    "autoaugment_shake26_2x96d_aa": 26_192_922,
    "autoaugment_shake26_2x112d_aa": 35_640_442,
    "autoaugment_wrn28_10_aa": 36_220_634,
    "cutmix_pyramid200": 26_844_952,  # at 100 classes
    "davda54_wrn": 17_158_106,  # counted in that code's network
    "densenet_40_k12": 1_019_722,
    "densenet_bc100_k12": 769_162,
    "densenet_bc190_k40": 25_624_430,
    "densenet_bc250_k24": 15_324_406,
    "flax_cifar_pyramid272_aa": 26_210_842,
    "flax_cifar_shake26_2x96d_aa": 26_192_922,
    "flax_cifar_wrn28_10_aa": 36_220_634,
    "hysts_densenet_bc100_k12": 769_162,  # counted in that code's networks, as the next seven
    "hysts_preact20": 272_282,
    "hysts_preact20x4": 4_326_986,
    "hysts_preact56": 855_578,
    "hysts_preact110": 1_730_522,
    "hysts_resnet110": 1_730_714,
    "hysts_resnext29_4x64d": 17_562_442,
    "hysts_vgg15": 14_728_266,
    "hysts_wrn28_10": 36_479_194,
    "kuangliu_preact_resnet18": 11_171_146,  # counted in that code's networks, as the next two
    "kuangliu_resnext29_2x64d": 9_128_778,
    "kuangliu_vgg16": 14_728_266,
    "preact_resnet164_paper": 1_703_258,
    "pyramid": 26_109_432,
    "pyramid110_a84": 3_904_446,
    "pyramid110_a270": 28_485_477,
    "pyramid164_a270": 27_216_021,
    "pyramid200_a240": 26_752_702,
    "pyramid272_a200": 26_046_428,
    "pyramid272_a200_shakedrop": 26_046_428,
    "pyramid_cosine1800": 26_109_432,
    "resnet18": 11_173_962,
    "resnet20": 269_722,
    "shake26_2x32d": 2_923_162,
    "shake26_2x64d": 11_653_978,
    "shake26_2x96d": 26_192_922,
    "shake26_2x96d_cutout": 26_192_922,
    "swa_preact_resnet164": 1_703_258,
    "swa_wrn28_10": 36_489_290,  # counted in that code's network
    "wrn26_10": 38_557_770,
    "wrn26_10_8gpu": 38_557_770,
    "wrn26_2": 1_555_658,
    "wrn26_6_ss": 26_953_898,
    "wrn26_6_ss_8gpu": 26_953_898,
    "wrn26_6_ss_cosine1800": 26_953_898,
    "wrn26_6_ss_cosine1800_8gpu": 26_953_898,
    "wrn28_10": 36_479_194,
    "wrn28_10_dropout": 36_479_194,
    "wrn40_10_dropout": 55_841_754,
}
# Kernels, and BatchNorm's scales and shifts, which are as many as its running statistics; both
# counted in the original.
DECAYED = {
    "pyramid": 25_836_394 + 210_024,
    "wrn26_10": 38_529_712 + 17_952,
    "wrn26_2": 1_550_000 + 3_616,
    "wrn26_6_ss": 26_919_600 + 22_848,
}
EPOCHS = {"wrn26_10": 200, "wrn26_6_ss": 200, "wrn26_6_ss_cosine1800": 1800, "pyramid": 300}
BASES = FOLDER / "bases"
FILES = {path.stem: path for path in FOLDER.rglob("*.gin") if path.parent != BASES}
RECIPES = sorted(FILES)
TOP = {
    *("quickstart", "resnet20", "resnet18"),
    *("airbench94", "airbench94_muon", "airbench95", "airbench96"),
    *(
        "speedrun15",
        "speedrun30",
        "speedrun60",
        "speedrun94",
        "wrn26_2",
        "wrn26_10",
        "wrn26_10_8gpu",
    ),
    *("wrn26_6_ss", "wrn26_6_ss_8gpu", "wrn26_6_ss_cosine1800", "wrn26_6_ss_cosine1800_8gpu"),
    *("pyramid", "pyramid_cosine1800"),
}


@cache
def loaded(name: str) -> config.Config:
    return config.load(f"{name}.gin")


@cache
def described(name: str) -> Description:
    return describe(loaded(name).build(), data=None)


@cache
def network(name: str) -> str:
    """What of a recipe makes its network."""
    recipe = loaded(name)
    kinds = {entry.name: entry.kind for entry in recipe.components()}
    return "".join(
        f"{key} = {bound.source}\n"
        for key, bound in recipe.bindings.items()
        if key in ("run.architecture", "run.regularizers")
        or kinds.get(bound.component) in ("architecture", "regularizer")
    )


@cache
def built(name: str) -> Description:
    """A recipe, or the first one with the same network: a network takes up to a second."""
    return described(next(other for other in RECIPES if network(other) == network(name)))


def test_the_recipes_that_are_found_are_those_of_the_folder_by_their_bare_names():
    assert config.recipes() == {f"{name}.gin": FILES[name] for name in RECIPES}


def test_the_flax_recipes_and_the_first_ones_lie_at_the_top_and_others_by_source():
    assert {path.stem for path in FOLDER.glob("*.gin")} == TOP
    folders = {path.parent.name for name, path in FILES.items() if name not in TOP}
    assert folders == {
        *("autoaugment", "cutmix", "cutout", "densenet", "flax_cifar", "hysts", "kuangliu"),
        *("mmpretrain", "pyramidnet", "resnet", "resnext", "sam", "shake_shake"),
        *("stochastic_depth", "swa", "uncertainty_baselines", "wide_resnet"),
    }


@pytest.mark.parametrize("path", sorted(BASES.iterdir()), ids=lambda path: path.stem)
def test_a_base_is_to_be_included_and_not_to_be_run(path):
    claim, *_ = path.read_text().splitlines()
    assert claim.endswith("share: to include, not to run.")
    assert any(f"include '{path.name}'" in recipe.read_text() for recipe in FILES.values())
    with pytest.raises(ConfigProblemsError, match=r"run\.architecture is not set"):
        config.load(path)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_claims_and_how_it_is_run(name):
    claim, command, *_ = FILES[name].read_text().splitlines()
    assert claim.startswith("# ")
    assert command == f"#   cifarzoo run {name}.gin"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_passes_check_with_and_without_its_suffix(name):
    assert loaded(name).name == name
    assert config.load(name).text() == loaded(name).text()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_builds_without_a_warning(name):
    assert built(name).warnings == []
    run = loaded(name).build()
    of_schedule = getattr(run.schedule(), "warnings", lambda _: [])
    assert of_schedule(run.epochs) == []


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_recipe_builds_the_published_number_of_parameters(name):
    assert built(name).num_parameters == PARAMETERS[name]


@pytest.mark.parametrize("name", DECAYED)
def test_the_flax_recipes_decay_kernels_and_batch_norms_as_the_published_runs_did(name):
    assert described(name).weight_decay["covered"]["values"] == DECAYED[name]


@pytest.mark.parametrize("name", EPOCHS)
def test_the_flax_recipes_take_195_steps_an_epoch(name):
    plan = described(name).plan
    assert (plan.steps_per_epoch, plan.total_steps) == (195, 195 * EPOCHS[name])


@pytest.mark.parametrize(
    ("name", "epochs", "rate", "wd"),
    [
        ("airbench94", 9.9, 11.5, 0.0153),
        ("airbench95", 15, 10.0, 0.0153),
        ("airbench96", 37, 9, 0.012),
    ],
)
def test_airbench_trains_at_the_published_rates_of_summed_losses(name, epochs, rate, wd):
    assert described(name).plan.total_steps == math.ceil(epochs * (50_000 // 1024))
    kilostep = 1024 * (1 + 1 / (1 - 0.85))
    lr, decay = (loaded(name).build().optimizer.keywords[key] for key in ("lr", "weight_decay"))
    assert lr == pytest.approx(rate / kilostep * 1024)  # of the mean of 1024 losses
    assert lr * decay == pytest.approx(wd * 1024 / kilostep)


def test_airbench94_muon_takes_8_epochs_at_the_published_rates_of_summed_losses():
    assert described("airbench94_muon").plan.total_steps == 8 * 25
    settings = config.load("airbench94_muon.gin").build().optimizer.keywords
    assert (settings["head_lr"], settings["vector_lr"]) == (0.67 * 2000, 0.053 * 2000)
    assert settings["sgd_decay"] == 2000 * 2e-6


def test_resnet20_takes_64k_steps():
    assert described("resnet20").plan.total_steps == pytest.approx(64_000, rel=1e-3)


def test_resnet20_cut_short_anneals_too():
    run = config.load("resnet20.gin", sets=["run.epochs=4"]).build()
    schedule = run.schedule()
    factors = [schedule(Timestamp(step, 100, 400)) for step in (0, 199, 200, 299, 300, 399)]
    assert factors == [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
