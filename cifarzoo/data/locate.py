"""Find a published dataset in a folder, in whatever form and sub-folder people keep it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cifarzoo.data.archive import Archive
from cifarzoo.data.damage import DamageError
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
from cifarzoo.errors import DataError

PARQUET = tuple(f"{split}-00000-of-00001.parquet" for split in ("train", "test"))


def locate(published: Published, folder: Path, *, labelling: Labelling) -> Source:
    """Find the best form of a dataset: binary, then Parquet, then the python version.

    Archives come before unpacked files, because their digests are published. Only names are
    looked at, and of Parquet files the first image.

    Args:
        published: What to look for.
        folder: Where: in it, and in sub-folders named after the dataset.
        labelling: Which labels are wanted.

    Raises:
        DataError: There is no such folder, or nothing of the dataset in it.
        DamageError: What is there cannot be what it is named.
    """
    remedy = published.remedy(folder)
    if not folder.exists():
        raise DataError(f"there is no folder {folder}; {remedy}")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; expected the folder that holds {published.title}")
    places = [*_named_after(published, folder), folder]
    source = next(_candidates(published, places, labelling), None)
    if source is None:
        forms = [a for x in (published.binary, published.python) for a in (x.file_name, x.folder)]
        looked_for = ", ".join([*forms, *PARQUET])
        state = "is empty" if not any(folder.iterdir()) else f"holds no {published.title}"
        raise DataError(f"{folder} {state}; looked for {looked_for}; {remedy}")
    return source


def _named_after(published: Published, folder: Path) -> list[Path]:
    """The sub-folders ``cifar10``, ``CIFAR-10``, ``cifar_10`` and the like."""

    def letters(name: str) -> str:
        return re.sub(r"[^a-z0-9]", "", name.lower())

    found = (path for path in folder.iterdir() if letters(path.name) == published.name)
    return sorted(path for path in found if path.is_dir())


def _candidates(published: Published, places: list[Path], labelling: Labelling) -> Iterator[Source]:
    binary = binary_decoder(published)
    yield from _archives(published, published.binary, places, "binary", binary)
    yield from _parquet(published, places, labelling)
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


def _parquet(published: Published, places: list[Path], labelling: Labelling) -> Iterator[Source]:
    for place in places:
        for folder in (place, place / "plain_text", place / "data", place / published.name):
            train, test = (folder / name for name in PARQUET)
            there = [path for path in (train, test) if path.is_file()]
            if not there:
                continue
            if len(there) == 1:
                missing = test if there == [train] else train
                raise DamageError(f"{folder} holds {there[0].name} but no {missing.name}")
            num_train, codec = parquet.peek(train, label=labelling.column)
            num_test, test_codec = parquet.peek(test, label=labelling.column)
            yield ParquetSource(
                train=train,
                test=test,
                num_train=num_train,
                num_test=num_test,
                codec="JPEG" if "JPEG" in (codec, test_codec) else codec,
            )
