"""From a published dataset and a folder to the ``Dataset`` that the engine is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cifarzoo.components.protocols import Dataset, Split
from cifarzoo.components.user_paths import expanded
from cifarzoo.data.damage import advised
from cifarzoo.data.locate import locate
from cifarzoo.data.published import Labelling, Published
from cifarzoo.data.sources import Source
from cifarzoo.errors import DataError


def open_published(
    published: Published, folder: str | Path | None, *, labelling: Labelling
) -> Dataset:
    """Find the dataset in ``folder``; it is read when ``load`` is called.

    Without a folder everything but ``load`` works, so that a recipe can be looked at on a
    machine that has no data.

    Args:
        published: Dataset to open.
        folder: Folder with datasets, or None: not known.
        labelling: Labels that are wanted.

    Raises:
        DataError: There is a folder, but no such dataset in it.
    """
    if folder is None:

        def refuse() -> tuple[Split, Split]:
            raise DataError(
                f"{published.title} needs a folder: name it with --data DIR or CIFARZOO_DATA; "
                + published.remedy("DIR")
            )

        return _dataset(published, labelling, None, refuse)
    folder = expanded(folder)
    with advised(published.remedy(folder)):
        source = locate(published, folder, labelling=labelling)

    def load() -> tuple[Split, Split]:
        with advised(published.remedy(folder)):
            reading = source.read(labelling)
        return reading.train, reading.test

    return _dataset(published, labelling, source, load)


def title(published: Published, labelling: Labelling, source: Source | None) -> str:
    """The dataset's name, with whatever makes its numbers incomparable with published ones."""
    notes = []
    if labelling != published.labellings[0]:
        notes.append(labelling.name)
    if source and source.codec == "JPEG":
        notes.append("JPEG")
    if source and (source.num_train, source.num_test) != (published.num_train, published.num_test):
        notes.append(f"{source.num_train:,} + {source.num_test:,} images")
    return published.title + (f" ({', '.join(notes)})" if notes else "")


def _dataset(
    published: Published,
    labelling: Labelling,
    source: Source | None,
    load: Callable[[], tuple[Split, Split]],
) -> Dataset:
    counts = source or published
    return Dataset(
        title=title(published, labelling, source),
        classes=labelling.classes,
        mean=published.mean,
        std=published.std,
        num_train=counts.num_train,
        num_test=counts.num_test,
        load=load,
    )
