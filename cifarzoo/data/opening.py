"""From a published dataset and a folder to the ``Dataset`` that the engine is given."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cifarzoo.components.protocols import Dataset, Split
from cifarzoo.components.user_paths import expanded
from cifarzoo.data.archive import Contents
from cifarzoo.data.damage import advised
from cifarzoo.data.decoded_cache import through_cache
from cifarzoo.data.evidence import Evidence, note_on, recognise
from cifarzoo.data.formats.picture_headers import LOSSY
from cifarzoo.data.locate import locate
from cifarzoo.data.published import Labelling, Published
from cifarzoo.data.sources import Source
from cifarzoo.errors import DataError
from cifarzoo.run_folders.strict_json import strict_json

VERSION = 1  # of how this package decodes: raised where it would give other pixels or labels


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
            contents = source.read()
            decode = partial(source.decode, contents, labelling)
            if source.decoders is None:
                return decode()
            key = digest_of(source, contents, labelling)
            return through_cache(key, f"{name}, {source.form}", decode)

    name = title(published, labelling, source)
    return _dataset(published, labelling, source, load)


def digest_of(source: Source, contents: Contents, labelling: Labelling) -> str:
    """Digest (hex) of all that decides what is decoded from files."""
    facts = [VERSION, source.form, source.decoders, labelling.name, list(contents.digests.items())]
    return hashlib.sha256(strict_json(facts).encode()).hexdigest()


def title(
    published: Published,
    labelling: Labelling,
    source: Source | None,
    evidence: Callable[[], Evidence] | None = None,
) -> str:
    """The dataset's name, with whatever makes its numbers incomparable with published ones.

    Args:
        published: The dataset.
        labelling: Labels that are wanted.
        source: Files that it lies in; None: not known.
        evidence: Tells what is known of the images, asked where it matters; None: they weren't
            read yet.
    """
    notes = []
    if labelling != published.labellings[0]:
        notes.append(labelling.name)
    if source and source.codec in LOSSY:
        notes.append(source.codec)
    if source and (source.num_train, source.num_test) != (published.num_train, published.num_test):
        notes.append(f"{source.num_train:,} + {source.num_test:,} images")
    elif source and evidence and not (source.is_published or source.codec in LOSSY):
        notes.append(note_on(evidence()))
    told = ", ".join(filter(None, notes))
    return published.title + (f" ({told})" if told else "")


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
        title_of=lambda train, test: title(
            published, labelling, source, partial(recognise, published, train, test)
        ),
    )
