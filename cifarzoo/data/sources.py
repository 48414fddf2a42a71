"""The forms in which a published dataset lies on a disk, and how each is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cifarzoo.components.protocols import Split
from cifarzoo.data import archive as archives
from cifarzoo.data.archive import Archive, Member
from cifarzoo.data.formats import batches, parquet, records
from cifarzoo.data.published import Labelling, Published
from cifarzoo.data.splits import Images, Labels, join
from cifarzoo.files.real_folder import RealFolder

Decoder: TypeAlias = Callable[[bytes, Labelling, str], tuple[Images, Labels]]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read.

    Attributes:
        train: The training split.
        test: The test split.
        digests: The sha256 of each file that was read, by its name.
    """

    train: Split
    test: Split
    digests: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ArchiveSource:
    """A published archive, or the folder that unpacking it left.

    Attributes:
        form: Name of the form for people.
        folder: Folder that holds the archive, or its members.
        archive: Contents that it should have.
        is_unpacked: Whether the folder holds the members.
        num_train: Number of training images.
        num_test: Number of test images.
        decode: Function from the bytes of a member to images and labels.
        codec: Compression of single images; None: there is none.
    """

    form: str
    folder: RealFolder
    archive: Archive
    is_unpacked: bool
    num_train: int
    num_test: int
    decode: Decoder
    codec: str | None = None

    @property
    def path(self) -> Path:
        """Path of the archive, or of the folder."""
        return self.folder.path / ("" if self.is_unpacked else self.archive.file_name)

    def read(self, labelling: Labelling) -> Reading:
        """Read and check everything; raises DamageError."""
        read = archives.read_folder if self.is_unpacked else archives.read_archive
        contents = read(self.archive, self.folder)

        def split(members: tuple[Member, ...]) -> Split:
            parts = [
                self.decode(contents.members[m.name], labelling, f"{self.path}: {m.name}")
                for m in members
            ]
            return join(parts, num_classes=len(labelling.classes), where=str(self.path))

        return Reading(
            train=split(self.archive.train),
            test=split(self.archive.test),
            digests=contents.digests,
        )


@dataclass(frozen=True, kw_only=True)
class ParquetSource:
    """The two files of the Hugging Face hub's layout.

    Attributes:
        folder: Folder of the files.
        train: Name of the file of training images.
        test: Name of the file of test images.
        num_train: Number of training images.
        num_test: Number of test images.
        codec: Compression of the images: ``JPEG``, ``PNG``, or None for neither.
        form: Name of the form for people.
    """

    folder: RealFolder
    train: str
    test: str
    num_train: int
    num_test: int
    codec: str | None
    form: str = "Parquet"

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    def read(self, labelling: Labelling) -> Reading:
        """Read and check everything; raises DamageError."""
        digests = {}

        def split(name: str, num_images: int) -> Split:
            path = self.path / name
            raw = self.folder.read(name, at_most=parquet.most_bytes(num_images))
            digests[name] = hashlib.sha256(raw).hexdigest()
            part = parquet.decode(raw, label=labelling.column, where=path)
            return join([part], num_classes=len(labelling.classes), where=str(path))

        return Reading(
            train=split(self.train, self.num_train),
            test=split(self.test, self.num_test),
            digests=digests,
        )


Source: TypeAlias = ArchiveSource | ParquetSource


def binary_decoder(published: Published) -> Decoder:
    """How members of the binary version are decoded."""
    num_labels = len(published.labellings)

    def decode(raw: bytes, labelling: Labelling, where: str) -> tuple[Images, Labels]:
        return records.decode(raw, label=labelling.byte, num_labels=num_labels, where=where)

    return decode


def decode_batch(raw: bytes, labelling: Labelling, where: str) -> tuple[Images, Labels]:
    """How members of the python version are decoded."""
    return batches.decode(raw, key=labelling.key, where=where)
