"""Decoded images in the user's caches: decoding 60,000 pictures takes seconds, mapping them none.

An entry is a file, named by the digest of the files that it was decoded from, so that nothing in it
can be out of date: a page that says what it is, then the images of both splits and their labels. It
begins with the digest of all that follows, which is looked at each time; what is damaged is made
anew. All of it can be deleted at any time, and whatever fails has one consequence: the images are
decoded.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from filelock import FileLock, Timeout

from cifarzoo.components.protocols import Split
from cifarzoo.files.own_folders import lasting_cache_folder
from cifarzoo.files.real_folder import FILE, RealFolder, is_leftover
from cifarzoo.run_folders.strict_json import strict_json

FOLDER, SUFFIX = "decoded", ".images"
LEAST_BYTES = 8 << 20  # 2,700 images of 32 x 32, which are decoded in a quarter of a second
MOST_BYTES = 2 << 30  # of all entries; CIFAR-10 has 185 MB
LOCK_SECONDS = 120.0

_PAGE = 4096  # bytes before the images, so that these can be mapped
_DIGEST = 64  # bytes at the beginning: the sha256 of the rest, in hexadecimal
_LABEL = np.dtype("<i8")

Splits: TypeAlias = tuple[Split, Split]


@dataclass(frozen=True, kw_only=True)
class About:
    """What an entry says of itself.

    Attributes:
        title: Name of the dataset, and what it was decoded from, for people.
        num_train: Number of training images.
        num_test: Number of test images.
        image_shape: Channels, height and width of an image.
    """

    title: str
    num_train: int
    num_test: int
    image_shape: tuple[int, int, int]

    @property
    def size(self) -> int:
        """Number of bytes of the file."""
        count = self.num_train + self.num_test
        return _PAGE + count * (prod(self.image_shape) + _LABEL.itemsize)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file in the cache.

    Attributes:
        name: Name of the file.
        about: What it says of itself; None: it is damaged.
        size: Number of bytes.
        used: Time at which it was last used, in seconds since 1970.
    """

    name: str
    about: About | None
    size: int
    used: float


def through_cache(key: str, title: str, decode: Callable[[], Splits]) -> Splits:
    """What ``decode`` gives, from the cache where it has it.

    Of several processes at once one decodes and writes, and the others wait for it.

    Args:
        key: Digest of all that decides what ``decode`` gives.
        title: Name of the dataset, and what it is decoded from, for people.
        decode: Function that reads the training and the test images.

    Returns:
        The two splits. Images from the cache are mapped, and writing to them changes no file.

    Raises:
        DamageError: ``decode`` raises it.
    """
    try:
        folder = cache()
    except OSError:
        return decode()
    name = key + SUFFIX
    with ExitStack() as alone:
        found = _read(folder, name)
        if found is None:
            with suppress(Timeout, OSError):
                alone.enter_context(FileLock(folder.path / "lock", timeout=LOCK_SECONDS))
            found = _read(folder, name)  # another process has decoded it meanwhile
        if found is None:
            found = decode()
            with suppress(OSError):  # a full disk, for example
                _write(folder, name, title, found)
    return found


def cache() -> RealFolder:
    """The folder of the cache.

    Raises:
        OSError: There is none that only this user can write to.
    """
    return RealFolder(lasting_cache_folder(FOLDER))


def entries(folder: RealFolder) -> list[Entry]:
    """What is in the cache, what was used last first."""
    return sorted(_entries(folder), key=lambda entry: entry.used, reverse=True)


def clear(folder: RealFolder) -> list[Entry]:
    """Delete all entries, and return what they were. Processes that use one go on with it."""
    found = entries(folder)
    for name in folder.names():
        if name.endswith(SUFFIX) or _is_left_of_any(name):
            folder.take_away(name)
    return found


def _entries(folder: RealFolder) -> Iterator[Entry]:
    for name in folder.names():
        if not name.endswith(SUFFIX) or folder.kind(name) != FILE:
            continue
        with suppress(FileNotFoundError), os.fdopen(folder.open(name), "rb") as file:
            facts = os.fstat(file.fileno())
            about = _about(file)
            yield Entry(name=name, about=about, size=facts.st_size, used=facts.st_mtime)


def _read(folder: RealFolder, name: str) -> Splits | None:
    """An entry's splits; None: there is none, or it is damaged."""
    try:
        with os.fdopen(folder.open(name), "rb") as file:
            about = _about(file)
            if about is None:
                return None
            os.utime(file.fileno())
            # Copy on write: torch has no use for arrays that can't be written to.
            mapped = np.memmap(file, np.uint8, "c")
    except (OSError, ValueError):
        return None
    digest = hashlib.sha256(mapped[_DIGEST:].data).hexdigest().encode()
    return _splits(mapped, about) if digest == mapped[:_DIGEST].tobytes() else None


def _about(file: BinaryIO) -> About | None:
    """What an entry says of itself, if that fits its length."""
    page = file.read(_PAGE)[_DIGEST:]
    try:
        fields: dict[str, Any] = json.loads(page)
        about = About(**fields | {"image_shape": tuple(fields["image_shape"])})
        is_whole = os.fstat(file.fileno()).st_size == about.size
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return about if is_whole else None


def _splits(mapped: np.memmap[Any, np.dtype[np.uint8]], about: About) -> Splits:
    place = _PAGE
    arrays = []
    counts = (about.num_train, about.num_test)
    for dtype, shape in ((np.dtype(np.uint8), about.image_shape), (_LABEL, ())):
        for count in counts:
            size = count * prod(shape) * dtype.itemsize
            part = mapped[place : place + size].view(np.ndarray)
            arrays.append(part.view(dtype).reshape(count, *shape))
            place += size
    train, test, train_labels, test_labels = arrays
    return (
        Split(images=train, labels=train_labels.astype(np.int64)),
        Split(images=test, labels=test_labels.astype(np.int64)),
    )


def _write(folder: RealFolder, name: str, title: str, splits: Splits) -> None:
    """Write an entry, and make room for it first."""
    train, test = splits
    channels, height, width = train.images.shape[1:]
    about = About(
        title=title,
        num_train=len(train.labels),
        num_test=len(test.labels),
        image_shape=(channels, height, width),
    )
    if not LEAST_BYTES <= about.size <= MOST_BYTES:
        return
    _make_room(folder, about.size)
    page = strict_json(asdict(about)).encode().ljust(_PAGE - _DIGEST)
    images = (np.ascontiguousarray(split.images) for split in splits)
    labels = (np.ascontiguousarray(split.labels, _LABEL) for split in splits)
    rest = b"".join([page, *(array.data for array in (*images, *labels))])
    if folder.kind(name) not in ("", FILE):
        folder.take_away(name)
    folder.replace(name, hashlib.sha256(rest).hexdigest().encode() + rest)


def _make_room(folder: RealFolder, size: int) -> None:
    """Delete what was used longest ago, and what killed processes left, until it all fits."""
    for name in filter(_is_left_of_any, folder.names()):
        folder.take_away(name)
    kept = entries(folder)
    while kept and sum(entry.size for entry in kept) + size > MOST_BYTES:
        folder.take_away(kept.pop().name)


def _is_left_of_any(name: str) -> bool:
    return is_leftover(name, name.lstrip(".").rpartition(".")[0])
