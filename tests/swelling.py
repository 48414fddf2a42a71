"""Small files that would be gigabytes once they are read."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

TWO_TB = 2 << 40  # of nothing: a sparse file takes no room on a disk
KIND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SEED = 5


def sparse(path: Path, content: bytes = b"", end: bytes = b"", size: int = TWO_TB) -> None:
    """A file that has ``content``, then nothing, and ``end`` at 2 TB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.seek(size - len(end))
        file.write(end)
        file.truncate(size)


def picture(codec: str) -> bytes:
    """An honest picture of 32 x 32 pixels."""
    pixels = np.random.default_rng(SEED).integers(0, 256, (32, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, codec)
    return buffer.getvalue()


def huge_jpeg(side: int = 16_000) -> bytes:
    """A JPEG that says it has so many pixels a side; its decoder fills what isn't there."""
    raw = picture("JPEG")
    frame = raw.index(b"\xff\xc0")
    return raw[: frame + 5] + struct.pack(">HH", side, side) + raw[frame + 9 :]


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def header(side: int) -> bytes:
    """The chunk that says how large a PNG is."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))


def png(*chunks: bytes, side: int = 32) -> bytes:
    """A black PNG of 32 x 32 pixels that says it has ``side``, with ``chunks`` before them."""
    pixels = zlib.compress(bytes(32 * (1 + 3 * 32)), 9)
    body = (header(side), *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def packed_zeros(mebibytes: int) -> bytes:
    """Zeros, compressed a thousandfold."""
    packer = zlib.compressobj(9)
    blocks = [packer.compress(bytes(1 << 20)) for _ in range(mebibytes)]
    return b"".join([*blocks, packer.flush()])


def write_parquet(path: Path, pictures: list[bytes], copies: int = 1, **how: object) -> None:
    """A file with ``pictures``, ``copies`` times over, every label 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = pa.array([{"bytes": each, "path": ""} for each in pictures], KIND)
    labels = pa.array(np.zeros(len(pictures), np.int64))
    table = pa.table(
        {"img": pa.chunked_array([images] * copies), "label": pa.chunked_array([labels] * copies)}
    )
    options = {"compression": "zstd", "compression_level": 9, "write_statistics": False}
    pq.write_table(table, path, **(options | how))


def end_of_parquet(length: int) -> bytes:
    """The last bytes of a Parquet file whose footer has ``length``."""
    return struct.pack("<I", length) + b"PAR1"


def sparse_parquet(path: Path) -> None:
    """An honest file with 2 TB of nothing between its pages and its footer."""
    write_parquet(path, [picture("PNG")])
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    sparse(path, content[:footer], content[footer:])


PARQUETS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a JPEG of 16,000 pixels": (
        lambda path: write_parquet(path, [huge_jpeg()]),
        r"image 0 is 16000 x 16000 pixels; expected 32 x 32",
    ),
    "a PNG of 9,000 pixels": (
        lambda path: write_parquet(path, [png(side=9000)]),
        r"image 0 is 9000 x 9000 pixels; expected 32 x 32",
    ),
    "a PNG that says twice how large it is": (
        lambda path: write_parquet(path, [png(header(11_000))]),
        r"image 0 is 11000 x 11000 pixels; expected 32 x 32",
    ),
    "a PNG of a text of 60 MB": (
        lambda path: write_parquet(path, [png(chunk(b"zTXt", b"a\0\0" + packed_zeros(60)))]),
        r"image 0 cannot be decoded \(",
    ),
    "a PNG of a profile of 60 MB": (
        lambda path: write_parquet(path, [png(chunk(b"iCCP", b"a\0\0" + packed_zeros(60)))]),
        r"image 0 cannot be decoded \(",
    ),
    "a PNG that goes on for 64 MB": (
        lambda path: write_parquet(path, [png() + bytes(64 << 20)], use_dictionary=False),
        r"its img\.bytes has 67,\d\d\d,\d\d\d bytes; expected at most 1,056,768",
    ),
    "the same in a dictionary": (
        lambda path: write_parquet(path, [png() + bytes(64 << 20)]),
        r"its dictionary of img\.bytes has 67,\d\d\d,\d\d\d bytes; expected at most 16,777,216",
    ),
    "a picture of 2 MB that 200 rows have": (
        partial(
            write_parquet,
            pictures=[png() + bytes(2 << 20)] * 10,
            copies=20,
            dictionary_pagesize_limit=8 << 20,
        ),
        r"image 0 has 2,097,\d\d\d bytes; expected at most 65,536 for 32 x 32 pixels",
    ),
    "pictures that begin as those before them": (
        partial(
            write_parquet,
            pictures=[png() + bytes(1 << 20)] * 10,
            copies=2,
            use_dictionary=False,
            column_encoding={"img.bytes": "DELTA_BYTE_ARRAY"},
        ),
        r"img\.bytes is written in the encoding 7; expected PLAIN or a dictionary",
    ),
    "3 million rows": (
        lambda path: write_parquet(path, [png()] * 10_000, 300),
        r"has 3,000,000 rows; expected at most 200,000",
    ),
    "a footer of 5 MB": (
        lambda path: path.write_bytes(b"PAR1" + bytes(5 << 20) + end_of_parquet(5 << 20)),
        r"its footer has 5,242,880 bytes; expected at most 4,194,304",
    ),
    "2 TB of nothing within": (
        sparse_parquet,
        r"has 2,199,023,255,552 bytes for 1 rows; expected at most 1,064,960",
    ),
}


def repacked(saved: bytes, method: int, *, comment: bytes = b"") -> bytes:
    """What ``torch.save`` wrote, written once more by another program."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved)) as old,
        zipfile.ZipFile(buffer, "w", method, compresslevel=9) as new,
    ):
        new.comment = comment
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return buffer.getvalue()


def deflated(saved: bytes) -> bytes:
    """What ``torch.save`` wrote, as an archive whose members are compressed."""
    return repacked(saved, zipfile.ZIP_DEFLATED)
