"""The spread of seeds, split: without bias, whatever the seeds have in common."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean, stdev, variance
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cifarzoo.results.spread import spread_of
from cifarzoo.results.statistics import sample
from cifarzoo.results.variance import VarianceSplit, split_variance
from cifarzoo.run_folders.folder import PREDICTIONS, RunFolder
from cifarzoo.run_folders.predictions import Predictions, keep_predictions

SEED = 11
REPEATS = 2000
EASE, SHARES = (0.1, 0.5, 0.9), (0.1, 0.3, 0.6)  # chances to be right on an image, how many have it


def seeds_of(rng: np.random.Generator, n: int, m: int, reach: float) -> NDArray[np.bool_]:
    """Seeds on images that are drawn: each seed's chances are higher or lower, by up to ``reach``.

    On all images there could be their accuracies are uniform, of the variance reach^2 / 3.
    """
    ease = rng.choice(EASE, m, p=SHARES)
    return rng.random((n, m)) < ease + rng.uniform(-reach, reach, (n, 1))


def simulated(n: int, m: int, reach: float) -> list[VarianceSplit]:
    rng = np.random.default_rng(SEED)
    return [split_variance(seeds_of(rng, n, m, reach)) for _ in range(REPEATS)]


def truth(m: int, reach: float) -> dict[str, float]:
    """The variances in percent points squared.

    An image's chance has the mean e and, over seeds, the variance V = reach^2 / 3, so that being
    right on it has the variance e (1 - e) over seeds.
    """
    distribution = 100**2 * reach**2 / 3
    alone = sum(share * e * (1 - e) for e, share in zip(EASE, SHARES, strict=True))
    finite_sample = 100**2 * alone / m
    test_set = finite_sample + (1 - 1 / m) * distribution
    return {
        "distribution": distribution,
        "finite_sample": finite_sample,
        "test_set": test_set,
    }


@pytest.mark.parametrize(
    ("n", "m", "reach"),
    [(5, 200, 0.0), (5, 200, 0.05), (10, 500, 0.02), (3, 50, 0.1), (2, 2, 0.1)],
)
def test_the_parts_have_no_bias(n, m, reach):
    found = simulated(n, m, reach)

    for name, expected in truth(m, reach).items():
        values = [getattr(each, name) for each in found]
        # Four standard errors: one false alarm in 16,000 for each of the 15.
        assert abs(fmean(values) - expected) < 4 * stdev(values) / math.sqrt(REPEATS)


@pytest.mark.parametrize(("n", "m", "reach"), [(5, 200, 0.0), (5, 200, 0.05), (10, 500, 0.02)])
def test_the_interval_has_the_true_value_as_often_as_it_says(n, m, reach):
    true = math.sqrt(truth(m, reach)["distribution"])

    found = simulated(n, m, reach)

    covered = fmean(low <= true <= high for low, high in (each.interval for each in found))
    # Uniform seeds have lighter tails than normal ones, and without a difference one side is open:
    # it may hold more often, and not less, to four standard errors.
    assert covered > 0.95 - 4 * math.sqrt(0.95 * 0.05 / REPEATS)
    assert covered < 0.985


def test_it_is_the_formula():
    is_right = seeds_of(np.random.default_rng(SEED), 6, 30, 0.1)

    found = split_variance(is_right)

    rows = is_right.astype(int).tolist()
    test_set = variance([100 * fmean(row) for row in rows])
    alone = sum(variance(column) for column in zip(*rows, strict=True)) / 30**2
    assert found.test_set == pytest.approx(test_set)
    assert found.test_set == pytest.approx(sample([100 - 100 * fmean(r) for r in rows]).sd ** 2)
    assert found.finite_sample == pytest.approx(100**2 * alone)
    assert found.distribution == pytest.approx(30 / 29 * (test_set - 100**2 * alone))
    assert (found.num_seeds, found.num_images) == (6, 30)


def test_an_estimate_below_zero_stays_and_its_root_is_none():
    # Two seeds, equally good, that never agree: nothing could be more like chance.
    found = split_variance(np.array([[1, 0, 1, 0], [0, 1, 0, 1]], dtype=bool))

    assert found.test_set == 0
    assert found.distribution == pytest.approx(-(100**2) * 0.5 / 3)
    assert found.distribution_sd == 0
    assert found.interval == (0, 0)


def test_seeds_that_differ_on_all_images_alike_differ_in_distribution_alone():
    found = split_variance(np.array([[1] * 8, [0] * 8], dtype=bool))

    # Of 8 images each gives 1/64 of 100^2 / 2 by itself; the rest is what they have in common.
    assert found.finite_sample == pytest.approx(found.test_set / 8)
    assert found.distribution == pytest.approx(found.test_set)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (5,)])
def test_one_seed_or_image_has_no_variance(shape):
    with pytest.raises(ValueError, match=r"is_right is \(.*\); expected \(n, m\), two or more"):
        split_variance(np.ones(shape, bool))


def finish(path: Path, seed: int, **changes: Any) -> RunFolder:
    """A finished run on twelve images, with what it predicted."""
    path = path / str(seed)
    path.mkdir()
    folder = RunFolder(path)
    rng = np.random.default_rng(seed)
    labels = np.arange(12, dtype=np.int32) % 3
    logits, tta_logits = rng.normal(size=(2, 12, 3)).astype(np.float16)
    parts: dict[str, Any] = {
        "indices": np.arange(12, dtype=np.int32),
        "labels": labels,
        "logits": logits,
        "predicted": logits.argmax(1).astype(np.int32),
        "tta_logits": tta_logits,
        "tta_predicted": tta_logits.argmax(1).astype(np.int32),
        "num_views": 2,
    }
    made = Predictions(**(parts | changes))
    keep_predictions(folder, made)
    folder.update(status="done", test_error=made.error, tta_test_error=made.tta_error)
    return folder


@pytest.mark.parametrize("has_views", [True, False])
def test_the_views_are_those_of_the_number(tmp_path, has_views):
    runs = {seed: finish(tmp_path, seed) for seed in range(5)}
    name = "tta_test_error" if has_views else "test_error"
    errors = [100 * folder.record[name] for folder in runs.values()]

    split, reason = spread_of(runs, has_views=has_views)

    assert split.test_set == pytest.approx(variance(errors))
    assert reason is None


def test_four_seeds_are_too_few(tmp_path):
    runs = {seed: finish(tmp_path, seed) for seed in range(4)}

    assert spread_of(runs, has_views=True) == (None, None)


def test_seeds_without_predictions_are_named(tmp_path):
    runs = {seed: finish(tmp_path, seed) for seed in range(5)}
    for seed in (1, 3):
        (runs[seed].path / PREDICTIONS).unlink()

    split, reason = spread_of(runs, has_views=True)

    assert split is None
    assert reason == (
        f"cannot be split: seeds 1, 3: {runs[1].path} has no predictions.npz: an older cifarzoo "
        "finished it, or it could not be written"
    )


def test_seeds_on_other_images_are_not_split(tmp_path):
    runs = {seed: finish(tmp_path, seed) for seed in range(4)}
    runs[4] = finish(tmp_path, 4, indices=np.arange(1, 13, dtype=np.int32))

    assert spread_of(runs, has_views=False) == (
        None,
        "cannot be split: the seeds were tested on other images",
    )
