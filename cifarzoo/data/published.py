"""What a published dataset is, whatever form somebody has it in."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from cifarzoo.data.archive import Archive


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """One of the ways in which the images are labelled.

    Attributes:
        name: What to call it among several.
        classes: Names of the K classes, in the order of the labels.
        byte: Where it is in a record of the binary version.
        key: What it is called in the python version.
        column: What it is called in the Parquet version.
    """

    name: str
    classes: tuple[str, ...]
    byte: int
    key: str
    column: str


@dataclass(frozen=True, kw_only=True)
class Published:
    """A dataset as its author published it.

    Attributes:
        name: Its name for commands.
        title: Its name for people.
        labellings: The usual one first.
        mean: Per channel, of training pixels scaled to [0, 1].
        std: Per channel, of training pixels scaled to [0, 1].
        num_train: Training images.
        num_test: Test images.
        binary: The archive without pickles, which ``cifarzoo data fetch`` gets.
        python: The archive of pickles, which torchvision gets.
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

    def remedy(self, folder: Path | str) -> str:
        """What to do about a missing or damaged dataset."""
        where = shlex.quote(str(folder))
        return f"fetch it with `cifarzoo data fetch {self.name} --data {where}`"
