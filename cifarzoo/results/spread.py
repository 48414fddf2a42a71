"""How the seeds of a row spread, image by image: from what their runs predicted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cifarzoo.errors import UsageError
from cifarzoo.results.variance import VarianceSplit, split_variance
from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.run_folders.predictions import Predictions, read_predictions

FEWEST_SEEDS = 5  # whose spread is split: that of fewer could be almost anything


def spread_of(
    runs: Mapping[int, RunFolder], *, has_views: bool
) -> tuple[VarianceSplit | None, str | None]:
    """The seeds' variance, split, or why it can't be; neither of fewer than five seeds.

    Args:
        runs: Folder of each finished seed.
        has_views: Whether it is the variance of the errors on several views of each image.
    """
    if len(runs) < FEWEST_SEEDS:
        return None, None
    found, lacking = _read(runs)
    if lacking:
        seeds, reason = ", ".join(map(str, lacking)), next(iter(lacking.values()))
        return None, f"cannot be split: seed{'s' * (len(lacking) > 1)} {seeds}: {reason}"
    first, *others = found
    if not all(are_of_same_images(first, other) for other in others):
        return None, "cannot be split: the seeds were tested on other images"
    if len(first.labels) == 1:
        return None, "cannot be split: the seeds were tested on one image"
    rows = [each.tta_is_right if has_views else each.is_right for each in found]
    return split_variance(np.stack([row for row in rows if row is not None])), None


def _read(runs: Mapping[int, RunFolder]) -> tuple[list[Predictions], dict[int, str]]:
    """The seeds' predictions, and why some of them have none."""
    found, lacking = [], {}
    for seed, folder in runs.items():
        try:
            found.append(read_predictions(folder))
        except UsageError as error:
            lacking[seed] = str(error)
    return found, lacking


def are_of_same_images(one: Predictions, other: Predictions) -> bool:
    """Whether two runs were tested on the same images, by their rows and labels."""
    return np.array_equal(one.indices, other.indices) and np.array_equal(one.labels, other.labels)
