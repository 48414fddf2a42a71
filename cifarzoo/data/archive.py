"""Published archives: what is in them, and their bytes after every check that can be made.

Files are read once, into memory, and what is hashed is what is parsed. Members are read by
their exact names; nothing is ever extracted to disk.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cifarzoo.data.damage import DamageError
from cifarzoo.files.real_folder import RealFolder

SUMS = "SHA256SUMS"  # a file of digests beside unpacked members, as sha256sum writes it
MOST_SUMS = 64 << 10  # bytes of it
MOST_BYTES = 256 << 20  # of a member; the largest, all training images of CIFAR-100, has 155 MB


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file in an archive.

    Attributes:
        name: Name of the file inside ``Archive.folder``.
        size: Number of bytes, or None where only the digest is published.
        digest: Published digest, ``md5:`` or ``sha256:`` and hexadecimal figures, or None.
    """

    name: str
    size: int | None = None
    digest: str | None = None

    @property
    def most(self) -> int:
        """Number of bytes that may be read of it."""
        return MOST_BYTES if self.size is None else self.size


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A .tar.gz as its author publishes it.

    Attributes:
        url: Address of the archive.
        size: Number of bytes of the archive.
        sha256: Digest of the archive, in hexadecimal.
        folder: Name of the one folder in it, which is also what unpacking leaves on a disk.
        train: Files of training images, in order.
        test: Files of test images, in order.
    """

    url: str
    size: int
    sha256: str
    folder: str
    train: tuple[Member, ...]
    test: tuple[Member, ...]

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]

    @property
    def members(self) -> tuple[Member, ...]:
        """Training files, then test files."""
        return self.train + self.test


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What was read.

    Attributes:
        files: The bytes of each file on the disk: the archive, or every member.
        digests: The sha256 of each file.
    """

    files: Mapping[str, bytes]
    digests: Mapping[str, str]


def read_archive(archive: Archive, folder: RealFolder) -> Contents:
    """Read the archive in ``folder`` without unpacking it.

    Raises:
        DamageError: It is a web page, or its size or digest is not as published.
        OddFileError: It is no regular file.
        FileNotFoundError: There is none.
    """
    path = folder.path / archive.file_name
    with os.fdopen(folder.open(archive.file_name), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != archive.size:
            is_page = file.read(64).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<")
            problem = "is a web page, not an archive" if is_page else f"is {size:,} bytes"
            raise DamageError(f"{path} {problem}; expected {archive.size:,} bytes")
        raw = file.read(size)
    digest = hashlib.sha256(raw).hexdigest()
    if digest != archive.sha256:
        raise DamageError(f"{path} has the sha256 {digest}; expected {archive.sha256}")
    return Contents(files={archive.file_name: raw}, digests={archive.file_name: digest})


def unpack(archive: Archive, raw: bytes, path: Path) -> dict[str, bytes]:
    """The members of an archive.

    Args:
        archive: What it should hold.
        raw: The bytes of the archive.
        path: Path of the archive, for errors.

    Raises:
        DamageError: It can't be unpacked, or a member is missing or too large.
    """
    try:
        members = _untar(archive, raw, path)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DamageError(f"{path} cannot be unpacked ({error})") from error
    missing = [member.name for member in archive.members if member.name not in members]
    if missing:
        raise DamageError(f"{path} lacks {', '.join(missing)} in {archive.folder}/")
    return members


def read_folder(archive: Archive, folder: RealFolder) -> Contents:
    """Read the members of an archive that somebody has unpacked into ``folder``.

    Raises:
        DamageError: A file is missing, or its size or digest is not as published.
    """
    names = [member.name for member in archive.members]
    missing = [name for name in names if not folder.kind(name)]
    if missing:
        there = len(names) - len(missing)
        raise DamageError(
            f"{folder.path} has {there} of the {len(names)} files; {', '.join(missing)} missing"
        )
    members, digests = {}, {}
    for member in archive.members:
        path = folder.path / member.name
        _check_size(member, folder.size(member.name), str(path))
        raw = folder.read(member.name, at_most=member.most)
        _check_digest(member, raw, path)
        members[member.name] = raw
        digests[member.name] = hashlib.sha256(raw).hexdigest()
    return Contents(files=members, digests=digests)


def with_own_digests(archive: Archive, folder: RealFolder) -> Archive:
    """``archive`` with the digests that lie beside its members, if ``folder`` has such a file.

    A copy in another order, or of other pixels, is thereby as safe from damage as the author's.

    Raises:
        DamageError: The file doesn't list every member.
    """
    if not folder.kind(SUMS):
        return archive
    text = folder.read(SUMS, at_most=MOST_SUMS).decode("utf-8", "replace")
    found = {name: digest for digest, name in re.findall(r"^([0-9a-f]{64}) [ *](.+)$", text, re.M)}
    missing = [member.name for member in archive.members if member.name not in found]
    if missing:
        raise DamageError(f"{folder.path / SUMS} doesn't list {', '.join(missing)}")

    def own(members: tuple[Member, ...]) -> tuple[Member, ...]:
        return tuple(Member(name=m.name, digest=f"sha256:{found[m.name]}") for m in members)

    return replace(archive, train=own(archive.train), test=own(archive.test))


def _untar(archive: Archive, raw: bytes, path: Path) -> dict[str, bytes]:
    wanted = {f"{archive.folder}/{member.name}": member for member in archive.members}
    found = {}
    # As a stream: seeking back in a .gz would decompress everything again.
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r|gz") as tar:
        for info in tar:
            member = wanted.get(info.name)
            file = tar.extractfile(info) if member and info.isreg() else None
            if member and file:
                _check_size(member, info.size, f"{path}: {member.name}")
                found[member.name] = file.read()
    return found


def _check_size(member: Member, size: int, where: str) -> None:
    if member.size is not None and size != member.size:
        raise DamageError(f"{where} is {size:,} bytes; expected {member.size:,}")
    if size > member.most:
        raise DamageError(f"{where} is {size:,} bytes; expected at most {member.most:,}")


def _check_digest(member: Member, raw: bytes, path: Path) -> None:
    if member.digest is None:
        return
    algorithm, _, expected = member.digest.partition(":")
    digest = hashlib.new(algorithm, raw, usedforsecurity=False).hexdigest()
    if digest != expected:
        raise DamageError(f"{path} has the {algorithm} {digest}; expected {expected}")
