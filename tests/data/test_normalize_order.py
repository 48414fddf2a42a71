"""What crops and cutout fill in before and after normalize, as the engine's batches have it."""

from __future__ import annotations

from functools import partial

import numpy as np

from cifarzoo.data.windows import windowed
from cifarzoo.engine.assembly.build import build
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.zoo.augmentations.cutout import cutout
from cifarzoo.zoo.augmentations.flip import flip
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.augmentations.pad_crop import pad_crop
from cifarzoo.zoo.datasets.glyphs import glyphs
from tests.data.test_windows import BATCH_SIZE, batches_of, split_of, store_of
from tests.tiny import tiny_run

MEAN, STD = (np.array(each)[:, None, None] for each in (glyphs(None).mean, glyphs(None).std))
ZERO_CROP = partial(pad_crop, mode="zero")
STEP = 3


def drawn(name):
    return BatchDraws(generator(0, name, 0, STEP), BATCH_SIZE)


def cropped(images, filled):
    """Windows of images on ``filled``, (C, 1, 1) or a number."""
    draws = drawn("pad_crop")
    tops, lefts = draws.integers(9).tolist(), draws.integers(9).tolist()
    on = np.broadcast_to(filled, (len(images), 3, 40, 40)).copy()
    on[:, :, 4:36, 4:36] = images
    windows = zip(on, tops, lefts, strict=True)
    return np.stack([image[:, y : y + 32, x : x + 32] for image, y, x in windows])


def mirrored(images):
    sides = drawn("flip").bernoulli(0.5).tolist()
    return np.stack([x[:, :, ::-1] if side else x for x, side in zip(images, sides, strict=True)])


def cut(images, filled):
    """Images with squares of ``filled``, (C, 1, 1) or a number around points of their own."""
    draws = drawn("cutout")
    y, x = (draws.integers(32).numpy()[:, None, None, None] for _ in range(2))
    rows, columns = np.arange(32)[:, None], np.arange(32)
    in_rows, in_columns = (rows >= y - 8) & (rows < y + 8), (columns >= x - 8) & (columns < x + 8)
    return np.where(in_rows & in_columns, filled, images)


def batch_of(*augmentations):
    """A batch of the engine's, and the images that it was made of, from 0 to 1."""
    run = tiny_run(augmentations=augmentations, batch_size=BATCH_SIZE, seed=0)
    components, split = build(run, folder=None), split_of()
    store = store_of(split, windowed(components.augmentations)[1])
    batches = batches_of(components, run, rank=0, world_size=1, store=store)
    chosen = batches.indices(STEP, rank=0)
    return batches(STEP)[0].numpy(), split.images[chosen].astype(np.float64) / 255


def test_zeros_around_what_is_normalised_are_the_mean():
    found, images = batch_of(normalize, ZERO_CROP, flip)
    expected = (mirrored(cropped(images, MEAN)) - MEAN) / STD
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_zeros_around_pixel_values_are_black():
    found, images = batch_of(ZERO_CROP, flip, normalize)
    expected = (mirrored(cropped(images, 0.0)) - MEAN) / STD
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_cutout_after_normalize_fills_with_the_mean_and_before_it_with_its_whole_pixel():
    for augmentations, filled in (
        ([flip, normalize, cutout], MEAN),
        ([flip, cutout, normalize], np.round(255 * MEAN) / 255),
        ([flip, partial(cutout, fill="zero"), normalize], 0.0),
    ):
        found, images = batch_of(*augmentations)
        expected = (cut(mirrored(images), filled) - MEAN) / STD
        np.testing.assert_allclose(found, expected, atol=1e-5)
