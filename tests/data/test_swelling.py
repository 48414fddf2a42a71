"""Small files that would take gigabytes are refused before they do."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cifarzoo.data.archive import unpack
from cifarzoo.data.catalogue import CIFAR10
from cifarzoo.data.formats import parquet, pictures
from cifarzoo.data.formats.parquet_pages import pages
from cifarzoo.errors import DataError
from tests.peak_memory import told
from tests.small_cifar import NAMES, PARQUET_NAMES, small
from tests.swelling import PARQUETS, picture, png, sparse, write_parquet

MOST_MEBIBYTES = 256  # Python, NumPy, Pillow and pyarrow take 90
SIZES = ("170,052,171", "30,730,000", "at most 268,435,456")
VERIFY = """
import sys
from pathlib import Path
from cifarzoo.data.catalogue import CIFAR10
from cifarzoo.data.verify import verify
from cifarzoo.errors import DataError
for folder in sys.argv[1:]:
    try:
        verify(CIFAR10, Path(folder))
        print("nothing was wrong with it")
    except DataError as error:
        print(error)
"""


def test_small_datasets_that_swell_are_refused_in_little_memory(tmp_path: Path):
    folders = [tmp_path / str(number) for number, _ in enumerate(PARQUETS)]
    for folder, (write, _) in zip(folders, PARQUETS.values(), strict=True):
        write_parquet(folder / PARQUET_NAMES[1], [picture("PNG")])
        write(folder / PARQUET_NAMES[0])
    others = [tmp_path / name for name in ("archive", "binary", "python")]
    sparse(others[0] / CIFAR10.binary.file_name)
    for folder, archive in zip(others[1:], (CIFAR10.binary, CIFAR10.python), strict=True):
        for member in archive.members:
            sparse(folder / archive.folder / member.name)

    lines, mebibytes = told(VERIFY, *folders, *others)

    for line, (_, says) in zip(lines, PARQUETS.values(), strict=False):
        assert re.search(says, line)
    for line, most in zip(lines[len(PARQUETS) :], SIZES, strict=True):
        assert re.search(f"is 2,199,023,255,552 bytes; expected {most}", line)
    assert mebibytes < MOST_MEBIBYTES


@pytest.mark.parametrize("codec", ["PNG", "JPEG", "WebP"])
def test_honest_pictures_may_have_previews_and_profiles(tmp_path, codec):
    room = pictures.MOST_BYTES - len(picture(codec))
    write_parquet(tmp_path / "a.parquet", [picture(codec) + bytes(room)] * 3)

    images, _ = parquet.decode((tmp_path / "a.parquet").read_bytes(), label="label", where=tmp_path)

    np.testing.assert_array_equal(images, pictures.decode([picture(codec)] * 3, where="here"))


@pytest.mark.parametrize("marker", ["ffd9", "ffda0002", "ff", "ffe1", "ffe10002", "ff01ffd0ffd9"])
def test_a_jpeg_that_does_not_say_how_large_it_is_is_refused(marker):
    with pytest.raises(DataError, match=r"image 0 cannot be decoded \(it doesn't say how large"):
        pictures.decode([b"\xff\xd8\xff" + bytes.fromhex(marker)[1:]], where="here")


def test_a_jpeg_may_have_filled_up_markers_and_bytes_between_its_segments():
    raw = picture("JPEG")
    odd = raw[:2] + bytes.fromhex("ffffffe00003aa1100ff00") + raw[2:]

    np.testing.assert_array_equal(
        pictures.decode([odd], where="here"), pictures.decode([raw], where="here")
    )


@pytest.mark.parametrize("how", [{}, {"use_dictionary": False}, {"data_page_version": "2.0"}])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
def test_the_sizes_of_pages_are_those_that_are_written(tmp_path, how, compression):
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    files = [picture("PNG"), png()] * 200
    write_parquet(path, files, compression=compression, compression_level=None, **how)
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    first = column.dictionary_page_offset or column.data_page_offset

    with path.open("rb") as file:
        found = list(pages(file, first, column.total_compressed_size))

    # The rest of what the footer counts are the headers, of 15 to 60 bytes each.
    assert 0 < column.total_uncompressed_size - sum(page.size for page in found) < 60 * len(found)
    assert any(page.is_dictionary for page in found) == column.has_dictionary_page
    assert {page.encoding for page in found} <= parquet.PLAIN_OR_LISTED


def test_other_rows_than_a_file_says_are_refused(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(path, [png()] * 100)
    raw = path.read_bytes()
    place = raw.rindex(b"\x16\xc8\x01")  # of a row group: a field of 64 bits, 100

    with pytest.raises(
        DataError, match=r"has other than the 100 rows that it says|no whole Parquet"
    ):
        parquet.decode(raw[: place + 1] + b"\xc6\x01" + raw[place + 3 :], label="label", where=path)


def test_a_member_that_is_larger_than_any_known_is_not_unpacked(tmp_path, monkeypatch):
    data = small(**{NAMES["binary"][0]: bytes(3073 * 11)})  # its size isn't known
    path = data.write_archive("binary", tmp_path)
    assert unpack(data.published.binary, path.read_bytes(), path)
    monkeypatch.setattr("cifarzoo.data.archive.MOST_BYTES", 30_000)

    with pytest.raises(
        DataError, match=r"data_batch_1.bin is 33,803 bytes; expected at most 30,000"
    ):
        unpack(data.published.binary, path.read_bytes(), path)
