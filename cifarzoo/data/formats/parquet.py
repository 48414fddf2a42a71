"""The Parquet layout of the Hugging Face hub: a column of picture files, columns of labels.

pyarrow reads it: an extra of 170 MB, asked for only by those who have such files.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cifarzoo.data.damage import DamageError, ForeignError
from cifarzoo.data.formats import pictures
from cifarzoo.data.splits import Images, Labels
from cifarzoo.errors import DataError

IMAGES = "img"


def peek(path: Path, *, label: str) -> tuple[int, str | None]:
    """Count the images and tell the first one's codec, reading as little as possible.

    Args:
        path: Path of the file.
        label: Name of the column of labels.

    Returns:
        The number of images, and ``JPEG``, ``PNG`` or None.

    Raises:
        ForeignError: It has other columns.
        DamageError: It is no Parquet file.
    """
    with _reading(path), path.open("rb") as source:
        file = _open(source)
        _check_columns(file.schema_arrow, label, path)
        if not file.metadata.num_rows:
            raise DamageError(f"{path} holds no images; expected at least one")
        first = next(file.iter_batches(batch_size=1, columns=[IMAGES]))
        picture = first.column(0)[0].as_py() or {}
    return file.metadata.num_rows, pictures.codec(picture.get("bytes") or b"")


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
        import pyarrow.compute

        file = _open(io.BytesIO(raw))
        _check_columns(file.schema_arrow, label, where)
        table = file.read(columns=[IMAGES, label])
        files = pyarrow.compute.struct_field(table.column(IMAGES), "bytes")
        labels = table.column(label)
        for name, column in ((f"{IMAGES}.bytes", files), (label, labels)):
            if column.null_count:
                raise DamageError(f"{where}: {column.null_count:,} rows have no {name}")
        blobs, numbers = files.to_pylist(), labels.to_numpy().astype(np.int64)
    return pictures.decode(blobs, where=str(where)), numbers


def _open(source: Any) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(source, page_checksum_verification=True)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say what is missing or wrong in the user's words."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise DataError(
            f"reading {path} takes pyarrow; install it with `pip install 'cifarzoo[parquet]'`"
        ) from error
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        reason = str(error).splitlines()[0].rstrip(". ")
        raise DamageError(f"{path} is no whole Parquet file ({reason})") from error


def _check_columns(schema: Any, label: str, path: Path) -> None:
    from pyarrow import types

    fields = {field.name: field.type for field in schema}
    images, labels = fields.get(IMAGES), fields.get(label)
    has_images = (
        images is not None
        and types.is_struct(images)
        and any(child.name == "bytes" for child in images)
    )
    if not has_images or labels is None or not types.is_integer(labels):
        found = ", ".join(f"{name} ({kind})" for name, kind in fields.items()) or "none"
        raise ForeignError(
            f"{path} has the columns {found}; "
            f"expected {IMAGES} (struct<bytes, path>) and {label} (int64)"
        )
