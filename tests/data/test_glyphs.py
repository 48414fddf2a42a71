"""The embedded data set: the same bytes everywhere, and neither too easy nor hopeless."""

import hashlib
import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cifarzoo.data.glyphs import exact
from cifarzoo.data.glyphs.drawing import MOST_CLUTTER, Level
from cifarzoo.data.glyphs.generate import CLASSES, generate
from cifarzoo.data.glyphs.shapes import SHAPES
from cifarzoo.errors import ConfigError
from cifarzoo.zoo.datasets.glyphs import glyphs

SHA256 = {
    "train": "b01b44ecd0ed7ddf66e8ba60ff8efb921457219f181b4de4b60b3a4cbf104d87",
    "test": "124c9262fd5d9e9a4eafd89e12e21e7faeb3f4ddd53caa26482624e34010e5c1",
}


@pytest.fixture(scope="module")
def splits():
    train, test = glyphs(None).load()
    return {"train": train, "test": test}


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_default_images_have_the_recorded_bytes(splits, split):
    assert hashlib.sha256(splits[split].images.tobytes()).hexdigest() == SHA256[split]


@pytest.mark.parametrize(("split", "count"), [("train", 10000), ("test", 2000)])
def test_the_splits_have_the_promised_form_and_balanced_labels(splits, split, count):
    images, labels = splits[split].images, splits[split].labels
    assert images.shape == (count, 3, 32, 32)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [count // 10] * 10


def test_no_image_occurs_twice(splits):
    rows = [image.tobytes() for split in splits.values() for image in split.images]
    assert len(set(rows)) == 12000


def test_the_stated_mean_and_deviation_are_those_of_the_training_images(splits):
    dataset, pixels = glyphs(None), splits["train"].images / 255
    np.testing.assert_allclose(pixels.mean((0, 2, 3)), dataset.mean, atol=5e-5)
    np.testing.assert_allclose(pixels.std((0, 2, 3)), dataset.std, atol=5e-5)


def test_a_linear_model_stays_below_45_percent_and_well_above_chance(splits):
    train, test = (s.images.reshape(len(s.images), -1) / np.float32(255) for s in splits.values())
    mean = train.mean(0)
    train, test = train - mean, test - mean
    targets = np.eye(10, dtype=np.float32)[splits["train"].labels] - np.float32(0.1)
    ridge = train.T @ train + 1000 * np.eye(train.shape[1], dtype=np.float32)

    weights = np.linalg.solve(ridge, train.T @ targets)

    accuracy = ((test @ weights).argmax(1) == splits["test"].labels).mean()
    assert 0.30 < accuracy < 0.45


def test_more_images_only_follow_the_same_first_ones(splits):
    few = generate(301, "train", seed=0, level=Level())
    np.testing.assert_array_equal(few.images, splits["train"].images[:301])


def test_another_seed_draws_other_images(splits):
    other, _ = glyphs(None, train_images=10, test_images=10, seed=1).load()
    assert (other.images != splits["train"].images[:10]).any((1, 2, 3)).all()


@pytest.mark.parametrize("name", CLASSES)
def test_every_shape_is_as_large_as_the_others(name):
    u, v = np.meshgrid(*[np.linspace(-1.5, 1.5, 601, dtype=np.float32)] * 2)
    area = (SHAPES[name](u, v) < 0).mean() * 9
    assert 1.2 < area < 2.4


def test_the_shapes_are_where_geometry_says():
    def inside(name, u, v):
        return SHAPES[name](np.float32([u]), np.float32([v]))[0] < 0

    assert inside("disc", 0, 0)
    assert not inside("ring", 0, 0)
    assert not inside("frame", 0, 0)
    assert inside("square", 0.7, 0.7)
    assert not inside("disc", 0.7, 0.7)
    assert inside("triangle", 0, 1.0)
    assert not inside("triangle", 0, -0.6)
    assert not inside("crescent", 0.6, 0)
    assert inside("star", 0, 1.0)
    assert not inside("star", 0, -0.9)
    assert inside("bowtie", 0.7, 0.9)
    assert not inside("bowtie", 0.3, 0)


@given(st.floats(0, 1, width=32, exclude_max=True), st.floats(0, 1, width=32, exclude_max=True))
def test_directions_have_unit_length(a, b):
    x, y = exact.direction(np.float32([a]), np.float32([b]))
    assert abs(float(x[0]) ** 2 + float(y[0]) ** 2 - 1) < 1e-6


@settings(max_examples=20)
@given(
    clutter=st.integers(0, MOST_CLUTTER),
    occlusion=st.floats(0, 1),
    max_noise=st.floats(0.01, 1),
    inversion=st.floats(0, 1),
)
def test_every_allowed_level_can_be_drawn(clutter, occlusion, max_noise, inversion):
    dataset = glyphs(
        None,
        train_images=3,
        test_images=1,
        clutter=clutter,
        occlusion=occlusion,
        max_noise=max_noise,
        inversion=inversion,
    )
    train, test = dataset.load()
    assert (len(train.images), len(test.images)) == (3, 1)


def test_inversion_gives_the_negative_before_the_noise():
    plain, negative = (
        glyphs(None, train_images=20, max_noise=0.01, inversion=p).load()[0].images for p in (0, 1)
    )
    difference = plain.astype(int) + negative.astype(int) - 255
    # Both carry the same noise (deviation 0.01 x 255 = 2.55), so the sum has twice as much.
    assert abs(difference).mean() < 5.1


def test_the_title_says_that_it_is_not_cifar():
    assert glyphs(None).title == "glyphs (synthetic, not CIFAR)"


def test_counts_are_known_before_anything_is_drawn():
    dataset = glyphs(None, train_images=10**9)
    assert (dataset.num_train, dataset.num_test) == (10**9, 2000)
    assert tuple(dataset.classes) == CLASSES


@pytest.mark.parametrize(
    ("parameter", "value", "problem"),
    [
        ("train_images", 0, "is 0; expected at least 1"),
        ("test_images", -5, "is -5; expected at least 1"),
        ("seed", -1, "is -1; expected at least 0"),
        ("clutter", 7, "is 7; expected 0 to 6"),
        ("occlusion", 1.5, "is 1.5; expected 0 to 1"),
        ("max_noise", 0.0, "is 0.0; expected 0.01 to 1"),
        ("inversion", float("nan"), "is nan; expected 0 to 1"),
    ],
)
def test_a_setting_out_of_range_is_refused(parameter, value, problem):
    with pytest.raises(ConfigError, match=f"^{parameter} {problem}$"):
        glyphs(None, **{parameter: value})


def test_the_factory_shows_the_levels_own_defaults():
    defaults = {n: p.default for n, p in inspect.signature(glyphs).parameters.items()}
    level = Level()
    assert defaults["clutter"] == level.clutter
    assert defaults["occlusion"] == level.occlusion
    assert defaults["max_noise"] == level.noise[1]
    assert defaults["inversion"] == level.inversion
