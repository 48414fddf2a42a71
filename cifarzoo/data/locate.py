"""Find a published dataset in a folder, in whatever form and sub-folder people keep it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cifarzoo.data.archive import Archive
from cifarzoo.data.damage import DamageError, ForeignError, MissingError
from cifarzoo.data.formats import parquet
from cifarzoo.data.published import Labelling, Published
from cifarzoo.data.sources import (
    ArchiveSource,
    Decoder,
    ParquetSource,
    Source,
    binary_decoder,
    decode_batch,
)

PARQUET = tuple(f"{split}-00000-of-00001.parquet" for split in ("train", "test"))


def locate(published: Published, folder: Path, *, labelling: Labelling) -> Source:
    """Find the best form of a dataset: binary, then Parquet, then the python version.

    Archives come before unpacked files, because their digests are published. Only names are
    looked at, and of Parquet files the first image.

    Args:
        published: Dataset to look for.
        folder: Folder to look in, and in its sub-folders named after the dataset.
        labelling: Labels that are wanted.

    Raises:
        MissingError: There is no such folder, or nothing of the dataset in it.
        DamageError: What is there cannot be what it is named.
    """
    remedy = published.remedy(folder)
    if not folder.exists():
        raise MissingError(f"there is no folder {folder}; {remedy}")
    if not folder.is_dir():
        raise MissingError(f"{folder} is a file; expected the folder that holds {published.title}")
    places = [*_named_after(published, folder), folder]
    foreign: list[ForeignError] = []
    source = next(_candidates(published, places, labelling, foreign), None)
    if source is None:
        state = "is empty" if not any(folder.iterdir()) else f"holds no {published.title}"
        forms = [a for x in (published.binary, published.python) for a in (x.file_name, x.folder)]
        looked_for = "looked for " + ", ".join([*forms, *PARQUET])
        raise MissingError(f"{folder} {state}; {foreign[0] if foreign else looked_for}; {remedy}")
    return source


def _named_after(published: Published, folder: Path) -> list[Path]:
    """The sub-folders ``cifar10``, ``CIFAR-10``, ``cifar_10`` and the like."""

    def letters(name: str) -> str:
        return re.sub(r"[^a-z0-9]", "", name.lower())

    found = (path for path in folder.iterdir() if letters(path.name) == published.name)
    return sorted(path for path in found if path.is_dir())


def _candidates(
    published: Published,
    places: list[Path],
    labelling: Labelling,
    foreign: list[ForeignError],
) -> Iterator[Source]:
    binary = binary_decoder(published)
    yield from _archives(published, published.binary, places, "binary", binary)
    for folder in _parquet_folders(published, places):
        try:
            source = _parquet(folder, labelling)
        except ForeignError as error:  # the names say nothing of what is inside
            foreign.append(error)
        else:
            yield source
    yield from _archives(published, published.python, places, "python", decode_batch)


def _archives(
    published: Published, archive: Archive, places: list[Path], version: str, decode: Decoder
) -> Iterator[Source]:
    def source(form: str, path: Path) -> Source:
        return ArchiveSource(
            form=f"{version} {form}",
            path=path,
            archive=archive,
            num_train=published.num_train,
            num_test=published.num_test,
            decode=decode,
        )

    for place in places:
        if (place / archive.file_name).is_file():
            yield source("archive", place / archive.file_name)
    for place in places:
        for folder in (place / archive.folder, place):
            if any((folder / member.name).is_file() for member in archive.members):
                yield source("files", folder)


def _parquet_folders(published: Published, places: list[Path]) -> Iterator[Path]:
    for place in places:
        for folder in (place, place / "plain_text", place / "data", place / published.name):
            if any((folder / name).is_file() for name in PARQUET):
                yield folder


def _parquet(folder: Path, labelling: Labelling) -> Source:
    train, test = (folder / name for name in PARQUET)
    for path, other in ((train, test), (test, train)):
        if not path.is_file():
            raise DamageError(f"{folder} holds {other.name} but no {path.name}")
    num_train, codec = parquet.peek(train, label=labelling.column)
    num_test, test_codec = parquet.peek(test, label=labelling.column)
    return ParquetSource(
        train=train,
        test=test,
        num_train=num_train,
        num_test=num_test,
        codec="JPEG" if "JPEG" in (codec, test_codec) else codec,
    )
