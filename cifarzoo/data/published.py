"""What a published dataset is, whatever form somebody has it in."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cifarzoo.data.archive import Archive
from cifarzoo.data.mirrors import Mirror


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """One of the ways in which the images are labelled.

    Attributes:
        name: Name of the labelling, among several.
        classes: Names of the K classes, in the order of the labels.
        byte: Index of its byte in a record of the binary version.
        key: Name of its list in the python version.
        column: Name of its column in the Parquet version.
    """

    name: str
    classes: tuple[str, ...]
    byte: int
    key: str
    column: str


@dataclass(frozen=True, kw_only=True)
class Known:
    """A split that can be told by its images.

    Attributes:
        part: Split of the dataset.
        digest: Digest of the images and labels, as ``evidence.set_digest`` makes it.
        words: What it is, for people.
        note: What titles say of it; nothing: published numbers are of these images.
    """

    part: Literal["train", "test"]
    digest: str
    words: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A dataset as its author published it.

    Attributes:
        name: Name for commands.
        title: Name for people.
        labellings: Labellings of the images, the usual one first.
        mean: Mean per channel, of training pixels scaled to [0, 1].
        std: Standard deviation per channel, of training pixels scaled to [0, 1].
        num_train: Number of training images.
        num_test: Number of test images.
        binary: The archive without pickles.
        python: The archive of pickles, which torchvision gets.
        mirrors: Servers that ``cifarzoo data fetch`` tries, in order.
        known: Splits that can be told by their images, under any labelling.
    """

    name: str
    title: str
    labellings: tuple[Labelling, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    num_train: int
    num_test: int
    binary: Archive
    python: Archive
    mirrors: tuple[Mirror, ...]
    known: tuple[Known, ...] = ()

    def remedy(self, folder: Path | str) -> str:
        """What to do about a missing or damaged dataset."""
        where = shlex.quote(str(folder))
        return f"fetch it with `cifarzoo data fetch {self.name} --data {where}`"
