"""The forms in which a published dataset lies on a disk, and how each is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from cifarzoo.components.protocols import Split
from cifarzoo.data import archive as archives
from cifarzoo.data.archive import Archive, Contents, Member
from cifarzoo.data.formats import batches, parquet, records
from cifarzoo.data.formats.picture_headers import LOSSY
from cifarzoo.data.published import Labelling, Published
from cifarzoo.data.splits import Images, Labels, join
from cifarzoo.files.real_folder import RealFolder

Decoder: TypeAlias = Callable[[bytes, Labelling, str], tuple[Images, Labels]]


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
        decode_member: Function from the bytes of a member to images and labels.
        codec: Compression of single images: there is none.
        is_published: Whether each byte that is read is the author's.
    """

    form: str
    folder: RealFolder
    archive: Archive
    is_unpacked: bool
    num_train: int
    num_test: int
    decode_member: Decoder
    codec: str | None = None
    is_published: bool = True

    @property
    def path(self) -> Path:
        """Path of the archive, or of the folder."""
        return self.folder.path / ("" if self.is_unpacked else self.archive.file_name)

    def read(self) -> Contents:
        """Read and check the files; raises DamageError."""
        read = archives.read_folder if self.is_unpacked else archives.read_archive
        return read(self.archive, self.folder)

    @property
    def decoders(self) -> tuple[str, ...] | None:
        """Names and versions of what decides pixels; None: decoding takes no time."""
        return None if self.is_unpacked else ()

    def decode(self, contents: Contents, labelling: Labelling) -> tuple[Split, Split]:
        """The training and the test images in the files; raises DamageError."""
        members = contents.files
        if not self.is_unpacked:
            [raw] = contents.files.values()
            members = archives.unpack(self.archive, raw, self.path)

        def split(parts: tuple[Member, ...]) -> Split:
            decoded = [
                self.decode_member(members[part.name], labelling, f"{self.path}: {part.name}")
                for part in parts
            ]
            return join(decoded, num_classes=len(labelling.classes), where=str(self.path))

        return split(self.archive.train), split(self.archive.test)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of the Parquet files of a split.

    Attributes:
        name: Name of the file.
        num_images: Number of images in it.
        codec: Compression of the images, one of ``picture_headers.CODECS``, or None.
    """

    name: str
    num_images: int
    codec: str | None


@dataclass(frozen=True, kw_only=True)
class ParquetSource:
    """The files of the Hugging Face hub's layout.

    Attributes:
        folder: Folder of the files.
        train: Files of training images, in order.
        test: Files of test images, in order.
        form: Name of the form for people.
        is_published: Whether each byte that is read is the author's.
    """

    folder: RealFolder
    train: tuple[Shard, ...]
    test: tuple[Shard, ...]
    form: str = "Parquet"
    is_published: bool = False

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def num_train(self) -> int:
        """Number of training images."""
        return sum(shard.num_images for shard in self.train)

    @property
    def num_test(self) -> int:
        """Number of test images."""
        return sum(shard.num_images for shard in self.test)

    @property
    def codec(self) -> str | None:
        """Compression of the images: a lossy one where any file has it."""
        codecs = [shard.codec for shard in self.train + self.test]
        return next((codec for codec in codecs if codec in LOSSY), codecs[0])

    def read(self) -> Contents:
        """Read the files; raises DamageError."""
        files = {
            shard.name: self.folder.read(shard.name, at_most=parquet.most_bytes(shard.num_images))
            for shard in self.train + self.test
        }
        digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
        return Contents(files=files, digests=digests)

    @property
    def decoders(self) -> tuple[str, ...] | None:
        """Names and versions of what decides pixels; None: decoding takes no time."""
        return tuple(f"{name} {version(name)}" for name in ("pillow", "torchvision"))

    def decode(self, contents: Contents, labelling: Labelling) -> tuple[Split, Split]:
        """The training and the test images in the files; raises DamageError."""

        def split(shards: tuple[Shard, ...]) -> Split:
            paths = [self.path / shard.name for shard in shards]
            parts = [
                parquet.decode(contents.files[path.name], label=labelling.column, where=path)
                for path in paths
            ]
            where = str(paths[0] if len(paths) == 1 else self.path)
            return join(parts, num_classes=len(labelling.classes), where=where)

        return split(self.train), split(self.test)


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
