"""Reads a dataset, and checks that it is what it says."""

from __future__ import annotations

from typing import Any

from cifarzoo.components.protocols import Dataset, Split
from cifarzoo.data.store import check_split
from cifarzoo.errors import DataError


def read_dataset(dataset: Dataset) -> tuple[Split, Split]:
    """The training and the test split of ``dataset``.

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
    return train, test
