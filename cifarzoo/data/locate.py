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
from cifarzoo.files.real_folder import FILE, RealFolder

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
        OddFileError: Something else than a regular file, or a real folder, has its name.
    """
    remedy = published.remedy(folder)
    if not folder.exists():
        raise MissingError(f"there is no folder {folder}; {remedy}")
    if not folder.is_dir():
        raise MissingError(f"{folder} is a file; expected the folder that holds {published.title}")
    places = [*_named_after(published, folder), RealFolder(folder)]
    foreign: list[ForeignError] = []
    source = next(_candidates(published, places, labelling, foreign), None)
    if source is None:
        state = "is empty" if not any(folder.iterdir()) else f"holds no {published.title}"
        forms = [a for x in (published.binary, published.python) for a in (x.file_name, x.folder)]
        looked_for = "looked for " + ", ".join([*forms, *PARQUET])
        raise MissingError(f"{folder} {state}; {foreign[0] if foreign else looked_for}; {remedy}")
    return source


def _named_after(published: Published, folder: Path) -> list[RealFolder]:
    """The sub-folders ``cifar10``, ``CIFAR-10``, ``cifar_10`` and the like."""

    def letters(name: str) -> str:
        return re.sub(r"[^a-z0-9]", "", name.lower())

    here = RealFolder(folder)
    return _inside(here, *(name for name in here.names() if letters(name) == published.name))


def _inside(place: RealFolder, *names: str) -> list[RealFolder]:
    """Those of the sub-folders that are there; what is no real one is refused when it is read."""
    return [place.below(name) for name in names if place.kind(name) not in ("", FILE)]


def _candidates(
    published: Published,
    places: list[RealFolder],
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
    published: Published, archive: Archive, places: list[RealFolder], version: str, decode: Decoder
) -> Iterator[Source]:
    def source(form: str, folder: RealFolder, *, is_unpacked: bool) -> Source:
        return ArchiveSource(
            form=f"{version} {form}",
            folder=folder,
            archive=archive,
            is_unpacked=is_unpacked,
            num_train=published.num_train,
            num_test=published.num_test,
            decode=decode,
        )

    for place in places:
        if _holds(place, archive.file_name):
            yield source("archive", place, is_unpacked=False)
    for place in places:
        for folder in (*_inside(place, archive.folder), place):
            if _holds(folder, *(member.name for member in archive.members)):
                yield source("files", folder, is_unpacked=True)


def _holds(folder: RealFolder, *names: str) -> bool:
    """Whether one of the files is in ``folder``.

    Raises:
        OddFileError: Something else than a regular file has its name.
    """
    for name in names:
        folder.check(name, FILE)
    return any(folder.kind(name) for name in names)


def _parquet_folders(published: Published, places: list[RealFolder]) -> Iterator[RealFolder]:
    for place in places:
        for folder in (place, *_inside(place, "plain_text", "data", published.name)):
            if _holds(folder, *PARQUET):
                yield folder


def _parquet(folder: RealFolder, labelling: Labelling) -> Source:
    train, test = PARQUET
    for name, other in ((train, test), (test, train)):
        if not folder.kind(name):
            raise DamageError(f"{folder.path} holds {other} but no {name}")
    num_train, codec = parquet.peek(folder, train, label=labelling.column)
    num_test, test_codec = parquet.peek(folder, test, label=labelling.column)
    return ParquetSource(
        folder=folder,
        train=train,
        test=test,
        num_train=num_train,
        num_test=num_test,
        codec="JPEG" if "JPEG" in (codec, test_codec) else codec,
    )
