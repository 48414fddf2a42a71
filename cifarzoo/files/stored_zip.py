"""Zip archives whose members are stored as they are: they are read in as much memory as they have.

Of a compressed archive 4 MB can become 4 GB, and so can one whose members share their bytes.
``torch.save`` and ``numpy.savez`` write neither.
"""

from __future__ import annotations

import io
import struct
import zipfile

# Bytes of the list of members, each of which takes 46 and ten times as many once it is read; the
# weights, their average and two moments of 5,000 parameters take 2 MB.
MOST_LISTED = 8 << 20

_END = struct.Struct("<4s4xHHIIH")  # of a zip: signature, entries twice, size and place of the list
_LOCATOR = struct.Struct("<4s4xQ4x")  # signature, place of the 64-bit end
_END64 = struct.Struct("<4s20xQQQQ")


class SwellingError(ValueError):
    """An archive that isn't what its writer stores."""


def stored_members(data: bytes, *, writer: str) -> list[zipfile.ZipInfo]:
    """What an archive lists, all of which is stored in it and nothing twice.

    Args:
        data: All bytes of the archive.
        writer: Name of the function that stores such archives, for the message.

    Raises:
        SwellingError: Members are compressed or share their bytes, the list of them is too long, or
            readers may differ in where it is.
        zipfile.BadZipFile: It is no archive.
    """
    size = _size_of_list(data)
    if size is None:
        raise SwellingError("its list of members is not at its end")
    if size > MOST_LISTED:
        raise SwellingError(
            f"its list of members has {size:,} bytes; expected at most {MOST_LISTED:,}"
        )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise SwellingError(
                f"its members are compressed ({member.filename}: {member.compress_size:,} bytes "
                f"for {member.file_size:,}); expected them as {writer} stores them"
            )
    total = sum(member.file_size for member in members)
    if total > len(data):
        raise SwellingError(f"its members have {total:,} bytes, and the file {len(data):,}")
    return members


def _size_of_list(data: bytes) -> int | None:
    """Bytes of the list of members, if any reader finds that which ``zipfile`` finds.

    Archives may have text before and behind, and readers differ in where they then look.
    """
    end = len(data) - _END.size
    if end < 0:
        return None
    signature, _, _, size, place, comment = _END.unpack_from(data, end)
    if signature != b"PK\5\6" or comment:
        return None
    locator = end - _LOCATOR.size
    if locator >= _END64.size:
        sign, place64 = _LOCATOR.unpack_from(data, locator)
        if sign == b"PK\6\7":
            end = locator - _END64.size
            signature, _, _, size, place = _END64.unpack_from(data, end)
            if signature != b"PK\6\6" or place64 != end:
                return None
    return int(size) if place + size == end else None
