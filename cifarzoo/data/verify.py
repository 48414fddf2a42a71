"""Read a dataset whole and report what is there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from cifarzoo.components.protocols import Split
from cifarzoo.data.damage import advised
from cifarzoo.data.evidence import UNKNOWN, Evidence, recognise
from cifarzoo.data.locate import locate
from cifarzoo.data.opening import title
from cifarzoo.data.published import Published
from cifarzoo.data.sources import Source


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What is in a dataset.

    Attributes:
        dataset: Name of the dataset for commands.
        title: Name of the dataset for people.
        form: Form of the dataset that was found.
        path: Path of the archive, the folder or the first file.
        shape: Shape of one image: channels, height, width.
        classes: Number of classes.
        train_images: Number of training images of each class.
        test_images: Number of test images of each class.
        repeated: Number of test images that are, to the byte, among the training images.
        train_pixels: What the training images are, by the digest of their set.
        test_pixels: What the test images are, likewise.
        sha256: Digest of each file.
        problem: Difference from what is published, or None.
    """

    dataset: str
    title: str
    form: str
    path: Path
    shape: tuple[int, ...]
    classes: int
    train_images: tuple[int, ...]
    test_images: tuple[int, ...]
    repeated: int
    train_pixels: str
    test_pixels: str
    sha256: Mapping[str, str]
    problem: str | None


def verify(published: Published, folder: Path) -> Verification:
    """Read a dataset and count what is in it.

    Raises:
        DataError: It isn't there or can't be read.
    """
    labelling = published.labellings[0]
    with advised(published.remedy(folder)):
        source = locate(published, folder, labelling=labelling)
        contents = source.read()
        train, test = source.decode(contents, labelling)
    evidence = cache(partial(recognise, published, train, test))  # two answers come from it
    train_pixels, test_pixels = _pixels(source, evidence)
    counts = [_per_class(split, len(labelling.classes)) for split in (train, test)]
    problems = (
        _imbalance("training", counts[0], published.num_train),
        _imbalance("test", counts[1], published.num_test),
    )
    return Verification(
        dataset=published.name,
        title=title(published, labelling, source, evidence),
        form=source.form,
        path=source.path,
        shape=train.images.shape[1:],
        classes=len(labelling.classes),
        train_images=counts[0],
        test_images=counts[1],
        repeated=_repeated(train, test),
        train_pixels=train_pixels,
        test_pixels=test_pixels,
        sha256=contents.digests,
        problem=next(filter(None, problems), None),
    )


def _pixels(source: Source, evidence: Callable[[], Evidence]) -> tuple[str, str]:
    """What the training and the test images are, for people."""
    if source.is_published:  # the digest of an archive proves more than images can
        return "the published training images", "the published test images"
    train, test = (known.words if known else UNKNOWN for known in evidence())
    return train, test


def _per_class(split: Split, classes: int) -> tuple[int, ...]:
    return tuple(np.bincount(split.labels, minlength=classes).tolist())


def _imbalance(which: str, counts: tuple[int, ...], published: int) -> str | None:
    expected = published // len(counts)
    if all(count == expected for count in counts):
        return None
    return (
        f"{sum(counts):,} {which} images, {min(counts):,} to {max(counts):,} a class; "
        f"expected {published:,}, {expected:,} a class"
    )


def _repeated(train: Split, test: Split) -> int:
    def digests(split: Split) -> list[bytes]:
        return [hashlib.blake2b(image, digest_size=16).digest() for image in split.images]

    seen = set(digests(train))
    return sum(digest in seen for digest in digests(test))
