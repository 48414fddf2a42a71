"""The Parquet layout of the Hugging Face hub: a column of picture files, columns of labels.

pyarrow reads it: an extra of 170 MB, asked for only by those who have such files. What it would
make of a file is bounded first: by the file's own numbers, and by the headers of its pages.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cifarzoo.data.damage import DamageError, ForeignError
from cifarzoo.data.formats import pictures
from cifarzoo.data.formats.parquet_pages import Page, pages
from cifarzoo.data.formats.picture_headers import codec
from cifarzoo.data.splits import Images, Labels
from cifarzoo.errors import DataError
from cifarzoo.files.real_folder import RealFolder

INSTALL = "install it with `pip install 'cifarzoo[parquet]'`"
IMAGES = ("img", "image")  # names of the column, as the hub's variants have it
MOST_IMAGES = 200_000  # in a file; CINIC-10, the largest known of 32 x 32 pixels, has 90,000
MOST_ROW = 16 << 10  # bytes a row on the disk; CIFAR-10 has 2,300 as PNG
MOST_PICTURE, MOST_LABEL = 8 << 10, 64  # bytes a row in memory, on average
MOST_LISTED = 16 << 20  # bytes of a dictionary of pictures; pyarrow's has 1 MB
MOST_FOOTER = 4 << 20  # bytes; 500 groups of 100 images have 2 MB
ROOM = 1 << 20  # bytes that a file or a column may have besides, however few its rows
PLAIN_OR_LISTED = frozenset({0, 2, 8})  # encodings: others can say little and mean much

_BATCH, _BATCH_BYTES = 1000, 32 << 20  # rows decoded at once, and bytes of those from a dictionary
_END = struct.Struct("<I4s")  # size of the footer, magic


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A file that was looked through.

    Attributes:
        file: The file, as pyarrow opened it.
        images: Name of the column of images.
        label: Name of the column of labels.
        at_once: Number of rows of which reading takes reasonable memory.
    """

    file: Any
    images: str
    label: str
    at_once: int

    @property
    def num_rows(self) -> int:
        """Number of rows that it says."""
        rows: int = self.file.metadata.num_rows
        return rows

    @property
    def names(self) -> list[str]:
        """Names of the two columns that are read."""
        return [f"{self.images}.bytes", self.label]


def peek(folder: RealFolder, name: str, *, label: str) -> tuple[int, str | None]:
    """Count the images and tell the first one's codec, reading as little as possible.

    Args:
        folder: Folder of the file.
        name: Name of the file.
        label: Name of the column of labels.

    Returns:
        The number of images, and one of ``picture_headers.CODECS`` or None.

    Raises:
        ForeignError: It has other columns.
        DamageError: It is no Parquet file, or not one that can be read in reasonable memory.
    """
    path = folder.path / name
    with _reading(path), os.fdopen(folder.open(name), "rb") as source:
        opened = _open(source, label, path)
        first = next(opened.file.iter_batches(batch_size=1, columns=opened.names[:1]))
        picture = first.column(0)[0].as_py() or {}
    return opened.num_rows, codec(picture.get("bytes") or b"")


def most_bytes(num_images: int) -> int:
    """Bytes that a file of so many images may have."""
    return num_images * MOST_ROW + ROOM


def decode(raw: bytes, *, label: str, where: Path) -> tuple[Images, Labels]:
    """Read all images and labels.

    Args:
        raw: The bytes of the file.
        label: Name of the column of labels.
        where: Name of the file, for the error.

    Returns:
        Images (N, 3, 32, 32) and labels (N,).

    Raises:
        DamageError: It is no Parquet file, has other columns, gaps, or undecodable pictures.
    """
    with _reading(where):
        opened = _open(io.BytesIO(raw), label, where)
        count = opened.num_rows
        decoder = pictures.Decoder(count, where=str(where))
        numbers = [np.empty(0, np.int64)]
        gaps = dict.fromkeys(opened.names, 0)
        rows = 0
        for batch in opened.file.iter_batches(opened.at_once, columns=opened.names):
            rows += batch.num_rows
            if rows > count:
                break
            files, labels = batch.column(opened.images).flatten()[0], batch.column(label)
            for name, column in zip(gaps, (files, labels), strict=True):
                gaps[name] += column.null_count
            if not any(gaps.values()):  # else the rest is only counted
                decoder.add(files.to_pylist())
                numbers.append(labels.to_numpy(zero_copy_only=False).astype(np.int64))
    for name, missing in gaps.items():
        if missing:
            raise DamageError(f"{where}: {missing:,} rows have no {name}")
    if rows != count:
        raise DamageError(f"{where} has other than the {count:,} rows that it says")
    return decoder.images, np.concatenate(numbers)


def _open(source: BinaryIO, label: str, path: Path) -> _Opened:
    """The file, if reading it takes reasonable memory."""
    import pyarrow.parquet

    size = source.seek(0, os.SEEK_END)
    source.seek(max(0, size - _END.size))
    length, magic = _END.unpack(source.read(_END.size).rjust(_END.size))
    if magic == b"PAR1" and length > MOST_FOOTER:
        raise _too_much(path, "footer", length, MOST_FOOTER)
    file = pyarrow.parquet.ParquetFile(source, page_checksum_verification=True)
    images = _column_of_images(file.schema_arrow, label, path)
    num_rows = file.metadata.num_rows
    if not num_rows:
        raise DamageError(f"{path} holds no images; expected at least one")
    if not 0 <= num_rows <= MOST_IMAGES:
        raise DamageError(f"{path} has {num_rows:,} rows; expected at most {MOST_IMAGES:,}")
    if size > most_bytes(num_rows):
        raise DamageError(
            f"{path} has {size:,} bytes for {num_rows:,} rows; expected at most "
            f"{most_bytes(num_rows):,}"
        )
    largest = _check_pages(file, source, images, label, path)
    at_once = max(1, min(_BATCH, _BATCH_BYTES // max(1, largest)))
    return _Opened(file=file, images=images, label=label, at_once=at_once)


def _check_pages(file: Any, source: BinaryIO, images: str, label: str, path: Path) -> int:
    """Refuse pages that decompressing or decoding would make far larger than images are.

    Returns:
        Bytes that a picture may have which many rows refer to.
    """
    largest = 0
    unpacked = {f"{images}.bytes": 0, label: 0}
    for column in _columns(file, unpacked):
        name = column.path_in_schema
        for page in _pages_of(column, source, path):
            unpacked[name] += page.size
            if name == label:
                continue
            if page.encoding not in PLAIN_OR_LISTED:
                raise DamageError(
                    f"{path}: {name} is written in the encoding {page.encoding}; expected PLAIN or "
                    "a dictionary"
                )
            if page.is_dictionary:
                largest = max(largest, page.size)
    if largest > MOST_LISTED:
        raise _too_much(path, f"dictionary of {images}.bytes", largest, MOST_LISTED)
    for name, size in unpacked.items():
        most = file.metadata.num_rows * (MOST_LABEL if name == label else MOST_PICTURE) + ROOM
        if size > most:
            raise _too_much(path, name, size, most)
    return largest


def _columns(file: Any, names: Iterable[str]) -> Iterator[Any]:
    """What the footer says of the columns that are read, in each row group."""
    groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
    for group in groups:
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema in names and column.num_values:
                yield column


def _pages_of(column: Any, source: BinaryIO, path: Path) -> list[Page]:
    first = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < first:
        first = column.dictionary_page_offset
    try:
        return list(pages(source, first, column.total_compressed_size))
    except ValueError as error:
        raise DamageError(f"{path} is no whole Parquet file ({error})") from error


def _too_much(path: Path, what: str, size: int, most: int) -> DamageError:
    return DamageError(f"{path}: its {what} has {size:,} bytes; expected at most {most:,}")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say what is missing or wrong in the user's words."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise DataError(f"reading {path} takes pyarrow; {INSTALL}") from error
    try:
        yield
    except (pa.ArrowException, UnicodeError, OSError) as error:  # a name that is no UTF-8
        if isinstance(error, OSError) and error.filename:
            raise
        reason = str(error).splitlines()[0].rstrip(". ")
        raise DamageError(f"{path} is no whole Parquet file ({reason})") from error


def _column_of_images(schema: Any, label: str, path: Path) -> str:
    """Name of the column of images, in a file that has one of labels too."""
    from pyarrow import types

    fields = {field.name: field.type for field in schema}
    images = next((name for name in IMAGES if _are_pictures(fields.get(name))), None)
    if images is None or label not in fields or not types.is_integer(fields[label]):
        found = ", ".join(f"{name} ({kind})" for name, kind in fields.items()) or "none"
        raise ForeignError(
            f"{path} has the columns {found}; "
            f"expected {' or '.join(IMAGES)} (struct<bytes, path>) and {label} (int64)"
        )
    return images


def _are_pictures(kind: Any) -> bool:
    from pyarrow import types

    return (
        kind is not None
        and types.is_struct(kind)
        and any(child.name == "bytes" and _is_binary(child.type) for child in kind)
    )


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))
