"""How large the pages of a Parquet file are, from their headers, before any is decompressed.

pyarrow takes whatever memory a page says it needs, and 4 GB of zeros are a page of some kB. Headers
are structs in Thrift's compact protocol, of which only the numbers are wanted here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

UNPACKED_SIZE, PACKED_SIZE = 2, 3  # fields of a page's header
ENCODINGS = {5: 2, 7: 2, 8: 4}  # structs in it, one a sort of page, and the field of the encoding
DICTIONARY = 7

_TRUE, _FALSE, _BYTE, _INT16, _INT32, _INT64, _DOUBLE, _TEXT, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 12


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a page's header says.

    Attributes:
        size: Number of bytes, decompressed.
        encoding: Number of the encoding of its values; None: it isn't said.
        is_dictionary: Whether it lists values that others refer to.
    """

    size: int
    encoding: int | None
    is_dictionary: bool


def pages(file: BinaryIO, start: int, size: int) -> Iterator[Page]:
    """The pages of a column in one row group.

    Args:
        file: The whole file.
        start: Place of the first page.
        size: Number of bytes of all pages.

    Raises:
        ValueError: They aren't where they should be.
    """
    reader = _Reader(file, start, start + size)
    while reader.place < reader.end:
        file.seek(reader.place)
        header = reader.struct()
        unpacked, packed = header.get(UNPACKED_SIZE), header.get(PACKED_SIZE)
        if (
            not isinstance(unpacked, int)
            or not isinstance(packed, int)
            or min(unpacked, packed) < 0
        ):
            raise ValueError("a page doesn't say how large it is")
        kinds = [kind for kind in ENCODINGS if isinstance(header.get(kind), dict)]
        if len(kinds) != 1:
            raise ValueError("a page doesn't say what it holds")
        [kind] = kinds
        encoding = header[kind].get(ENCODINGS[kind])
        yield Page(size=unpacked, encoding=encoding, is_dictionary=kind == DICTIONARY)
        reader.skip(packed)


class _Reader:
    """Reads structs of Thrift's compact protocol."""

    def __init__(self, file: BinaryIO, place: int, end: int) -> None:
        if not 0 <= place < end:
            raise ValueError("its pages lie outside the file")
        self._file = file
        self.place = place
        self.end = end

    def skip(self, size: int) -> None:
        """Count so many bytes, which have to lie within the column."""
        self.place += size
        if size < 0 or self.place > self.end:
            raise ValueError("a page ends behind its column")

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields of a struct by their numbers: numbers and structs; others are None."""
        if depth > 4:  # headers have two levels
            raise ValueError("a page's header is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while byte := self._byte():
            number = _int16(number + (byte >> 4) if byte >> 4 else self._signed())
            fields[number] = self._value(byte & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_INT16, _INT32, _INT64):
            number = self._signed()
            return number if kind == _INT32 else None  # as pyarrow, which passes others over
        if kind == _STRUCT:
            return self.struct(depth + 1)
        sizes = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8}
        if kind not in sizes and kind != _TEXT:
            raise ValueError("a page's header is damaged")
        size = self._unsigned() if kind == _TEXT else sizes[kind]
        self.skip(size)
        self._file.seek(size, os.SEEK_CUR)
        return None

    def _byte(self) -> int:
        self.skip(1)
        byte = self._file.read(1)
        if not byte:
            raise ValueError("its pages lie outside the file")
        return byte[0]

    def _unsigned(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a number in a page's header has no end")

    def _signed(self) -> int:
        number = self._unsigned()
        return (number >> 1) ^ -(number & 1)


def _int16(number: int) -> int:
    return (number + (1 << 15)) % (1 << 16) - (1 << 15)
