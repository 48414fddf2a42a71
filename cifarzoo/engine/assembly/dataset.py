"""Reads a dataset, and checks that it is what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cifarzoo.components.protocols import Dataset, Split
from cifarzoo.data.store import check_split
from cifarzoo.errors import DataError


def read_dataset(dataset: Dataset) -> tuple[Split, Split]:
    """The training and the test split of ``dataset``, their labels int64.

    Raises:
        DataError: It gives something else, or other images or labels than it should.
    """
    given: Any = dataset.load()
    if not (isinstance(given, tuple) and [type(part) for part in given] == [Split, Split]):
        raise DataError(
            f"the load of {dataset.title} gives {type(given).__name__}; expected two Splits, "
            "training and test"
        )
    train, test = given
    for split, part, promised in (
        (train, "training", dataset.num_train),
        (test, "test", dataset.num_test),
    ):
        check_split(
            split,
            part=part,
            num_classes=len(dataset.classes),
            image_shape=dataset.image_shape,
        )
        if promised not in (None, len(split.labels)):
            raise DataError(
                f"{dataset.title} promises {promised} {part} images and has {len(split.labels)}"
            )
    return _with_int64_labels(train), _with_int64_labels(test)


def titled(dataset: Dataset, train: Split, test: Split) -> Dataset:
    """``dataset`` under the title that its images tell."""
    if dataset.title_of is None:
        return dataset
    return replace(dataset, title=dataset.title_of(train, test))


def _with_int64_labels(split: Split) -> Split:
    """Labels of any width and byte order as torch takes them."""
    return replace(split, labels=np.asarray(split.labels, dtype=np.int64))
