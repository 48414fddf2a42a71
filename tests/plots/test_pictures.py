"""Contact sheets hold the images that augmentations give, and curves the schedule's factors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cifarzoo import config
from cifarzoo.engine.assembly.build import build
from cifarzoo.plots.pictures import (
    GAP,
    NUM_DRAWS,
    NUM_IMAGES,
    WIDE_GAP,
    as_pixels,
    contact_sheet,
    draw_rates,
    draw_sheet,
)
from cifarzoo.protocols import Timestamp
from tests.command import refuse, succeed

SIDE = 32


def made(*sets):
    run = config.load("quickstart.gin", sets=["glyphs.train_images=40", *sets]).build()
    components = build(run, folder=None, device="meta")
    return run, components, components.dataset.load()[0]


def cell(sheet, row, column):
    top = row * (SIDE + GAP)
    left = column * (SIDE + GAP) + (WIDE_GAP - GAP) * (column > 0)
    return sheet[top : top + SIDE, left : left + SIDE]


def test_a_sheet_has_the_images_and_mirrors_each_as_often_as_it_is_drawn():
    run, components, train = made("run.augmentations=[@flip, @normalize]", "flip.p=0.5")
    sheet = contact_sheet(components, train, seed=run.seed)
    assert sheet.shape[0] == NUM_IMAGES * (SIDE + GAP) - GAP
    known = {image.transpose(1, 2, 0).tobytes() for image in train.images}
    num_mirrored = 0
    for row in range(NUM_IMAGES):
        image = cell(sheet, row, 0)
        assert image.tobytes() in known
        for column in range(1, NUM_DRAWS + 1):
            found = cell(sheet, row, column)
            is_mirrored = np.array_equal(found, image[:, ::-1])
            assert is_mirrored or np.array_equal(found, image)
            num_mirrored += is_mirrored
    assert abs(num_mirrored - 40) <= 4 * np.sqrt(80) / 2


def test_what_belongs_to_images_stays_with_them_over_the_epochs():
    run, components, train = made("run.augmentations=[@alternating_flip, @normalize]")
    sheet = contact_sheet(components, train, seed=run.seed)
    for row in range(NUM_IMAGES):
        image = cell(sheet, row, 0)
        mirrored = [
            np.array_equal(cell(sheet, row, column), image[:, ::-1])
            for column in range(1, NUM_DRAWS + 1)
        ]
        assert mirrored in ([True, False] * (NUM_DRAWS // 2), [False, True] * (NUM_DRAWS // 2))


def test_regularizers_of_batches_act_behind_the_augmentations():
    run, components, train = made("run.augmentations=[@normalize]", "run.regularizers=[@cutmix]")
    sheet = contact_sheet(components, train, seed=run.seed)
    images = [cell(sheet, row, 0).astype(int) for row in range(NUM_IMAGES)]
    for row in range(NUM_IMAGES):
        found = cell(sheet, row, 3).astype(int)
        nearest = np.min([np.abs(found - image).max(2) for image in images], axis=0)
        assert nearest.max() <= 1  # each pixel is one of some image


def test_normalised_images_come_back_to_the_pixel():
    _, components, train = made()
    images = torch.from_numpy(train.images[:20])
    normalised = components.augmentations["normalize"](images, None)
    assert torch.equal(as_pixels(normalised, components.dataset), images)


def test_a_curve_has_the_schedules_factors():
    run, components, _ = made("run.schedule=@cosine", "run.epochs=50", "cosine.warmup_epochs=5.0")
    (axes,) = draw_rates(run, folder=None).axes
    epochs, factors = axes.lines[0].get_data()
    assert epochs[0] == 0
    assert 49 < epochs[-1] < 50
    steps = np.round(epochs * 1000).astype(int)
    expected = [components.schedule(Timestamp(step, 1000, 50_000)) for step in steps]
    np.testing.assert_allclose(factors, expected, atol=1e-3)


def test_a_sheets_title_names_what_acts_in_its_order():
    run, *_ = made("run.augmentations=[@cutout, @normalize]", "run.regularizers=[@mixup, @ema]")
    (axes,) = draw_sheet(run, folder=None).axes
    assert axes.get_title(loc="left") == "images, and after cutout, normalize, mixup"


@pytest.mark.parametrize(
    "command",
    [
        ("auto_augment",),
        ("ricap", "-s", "ricap.per='sample'"),
        ("trapezoid", "-s", "trapezoid.decay=.5"),
        ("quickstart.gin",),
    ],
    ids=lambda command: command[0],
)
def test_show_draws_components_and_configs(command, tmp_path):
    target = tmp_path / "out.png"
    assert succeed("show", *command, "--image", target).strip() == f"{target} written"
    with Image.open(target) as picture:
        assert picture.size[0] == 1400
        assert np.asarray(picture.convert("L")).std() > 5


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("resnet20", "out.png", "--image draws augmentations, regularizers of batches, schedules"),
        ("ema", "out.png", "--image draws what regularizers do to batches; ema acts in average"),
        ("flip", "out.gif", "is no name of a figure; expected one in .pdf, .png or .svg"),
        ("flip", "none/out.png", "none is not a folder"),
    ],
)
def test_what_cannot_be_drawn_is_refused(name, target, message, tmp_path):
    assert message in refuse("show", name, "--image", tmp_path / target)


@pytest.mark.parametrize("other", ["--layers", "--json"])
def test_two_views_at_once_are_refused(other, tmp_path):
    said = refuse("show", "quickstart.gin", "--image", tmp_path / "out.png", other)
    assert said == f"--image and {other} ask for two views; give one of them\n"
