"""Find a published dataset in a folder, in whatever form and sub-folder people keep it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cifarzoo.data.archive import Archive, with_own_digests
from cifarzoo.data.damage import DamageError, ForeignError, MissingError
from cifarzoo.data.formats import parquet
from cifarzoo.data.published import Labelling, Published
from cifarzoo.data.sources import (
    ArchiveSource,
    Decoder,
    ParquetSource,
    Shard,
    Source,
    binary_decoder,
    decode_batch,
)
from cifarzoo.files.real_folder import FILE, RealFolder

PARQUET = re.compile(r"(train|test)-(\d{5})-of-(\d{5})\.parquet")
LOOKED_FOR = "train-00000-of-00001.parquet, test-00000-of-00001.parquet (or in several files)"


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
        looked_for = "looked for " + ", ".join([*forms, LOOKED_FOR])
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
        held = with_own_digests(archive, folder) if is_unpacked else archive
        return ArchiveSource(
            form=f"{version} {form}",
            folder=folder,
            archive=held,
            is_unpacked=is_unpacked,
            is_published=held is archive,
            num_train=published.num_train,
            num_test=published.num_test,
            decode_member=decode,
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
            if _holds(folder, *filter(PARQUET.fullmatch, folder.names())):
                yield folder


def _parquet(folder: RealFolder, labelling: Labelling) -> Source:
    names = {split: _of_split(folder, split) for split in ("train", "test")}
    for split, other in (("train", "test"), ("test", "train")):
        if not names[split]:
            raise DamageError(
                f"{folder.path} holds {names[other][0]} but no {split}-00000-of-00001.parquet"
            )
    train, test = (
        tuple(_shard(folder, name, labelling) for name in names[split])
        for split in ("train", "test")
    )
    return ParquetSource(folder=folder, train=train, test=test)


def _of_split(folder: RealFolder, split: str) -> list[str]:
    """Names of the files of a split, in order; none: there are none.

    Raises:
        DamageError: One is missing, or they are of more than one set.
    """
    found = [match for name in folder.names() if (match := PARQUET.fullmatch(name))]
    names = sorted(match[0] for match in found if match[1] == split)
    sets = sorted({match[3] for match in found if match[1] == split})
    if len(sets) > 1:
        raise DamageError(
            f"{folder.path} holds {names[0]} and {names[-1]}; expected one set of {split} files"
        )
    last = int(sets[0]) if sets else 0
    wanted = [f"{split}-{number:05}-of-{last:05}.parquet" for number in range(last)]
    missing = sorted(set(wanted) - set(names))
    if missing:
        raise DamageError(
            f"{folder.path} has {len(names)} of the {last} {split} files; {missing[0]} is missing"
        )
    if odd := sorted(set(names) - set(wanted)):
        raise DamageError(f"{folder.path} holds {odd[0]}; expected numbers below {last}")
    return wanted


def _shard(folder: RealFolder, name: str, labelling: Labelling) -> Shard:
    num_images, codec = parquet.peek(folder, name, label=labelling.column)
    return Shard(name=name, num_images=num_images, codec=codec)
