"""Rows 19 and 21 to 26: datasets that are missing, damaged or of another shape."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.trust.bad_input.case import Case

HTML = "<!DOCTYPE html><html><body>404 Not Found</body></html>"
BINARY = "d/cifar-10-binary.tar.gz"
FILES = "d/cifar-10-batches-bin"
PICKLES = "d/cifar-10-batches-py"
TRAIN, TEST = (f"d/{part}-00000-of-00001.parquet" for part in ("train", "test"))
FETCH = r"; cifarzoo data fetch cifar10 --data d gets it|cifarzoo data fetch"
SIX = [f"{FILES}/{name}.bin" for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")]
SIX_PICKLES = [name.replace(FILES, PICKLES).removesuffix(".bin") for name in SIX]
CONFIG = """\
run.architecture = @resnet8
run.dataset = @{}
run.optimizer = @sgd
run.schedule = @constant
run.batch_size = 2
run.max_steps = 1
"""


class Gadget:
    """A pickle of it writes a file when it is loaded by plain ``pickle``."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (Path("ran"), "ran")


def verified(row: int, name: str, says: str, **more: Any) -> Case:
    """``data verify``, which reads everything and needs no torch."""
    command = ("data", "verify", "cifar10", "--data", "d")
    return Case(row=row, name=name, command=command, says=says, **more)


def trained(
    row: int, name: str, says: str, *options: str, dataset: str = "cifar10", **more: Any
) -> Case:
    """A run of it, which is refused before anything is made."""
    files = {"c.gin": CONFIG.format(dataset), **more.pop("files", {})}
    command = ("run", "c.gin", *options)
    return Case(
        row=row, name=name, command=command, files=files, says=says, needs_torch=True, **more
    )


def own(row: int, name: str, change: str, says: str) -> Case:
    """A plugin's dataset of which ``change`` breaks one thing."""
    return trained(row, name, says, "-p", "p.py", dataset="few", files={"p.py": FEW.format(change)})


def empty(folder: Path) -> None:
    """A folder without anything in it."""
    (folder / "d").mkdir()


def loop(folder: Path) -> None:
    """A link that leads to itself."""
    (folder / "d").symlink_to("d")


FEW = '''\
import numpy as np
from cifarzoo import register
from cifarzoo.protocols import Dataset, Split


@register.dataset
def few(folder):
    """A few grey images."""
    images = np.full((8, 3, 32, 32), 128, np.uint8)
    labels = np.arange(8) % 3
    classes, mean, std = ("a", "b", "c"), (0.5,) * 3, (0.2,) * 3
    test_images, test_labels = images[:2], labels[:2]
    {}

    def load():
        return Split(images=images, labels=labels), Split(images=test_images, labels=test_labels)

    return Dataset(title="Few", classes=classes, mean=mean, std=std, load=load)
'''
GADGET = pickle.dumps(Gadget())
VERIFIED = [
    verified(21, "no such folder", r"there is no folder d; .*cifarzoo data fetch"),
    verified(
        21,
        "an empty folder",
        r"d is empty; looked for cifar-10-binary\.tar\.gz, .*data fetch",
        prepare=empty,
    ),
    verified(21, "a file for a folder", r"d is a file; expected the folder", files={"d": "x"}),
    verified(
        21, "a folder of other things", r"d holds no CIFAR-10; looked for", files={"d/a.txt": "x"}
    ),
    verified(21, "a link that leads to itself", r"no folder d|d .*symbolic links", prepare=loop),
    verified(
        21,
        "a name of 300 letters",
        r"name too long|no folder",
        environment={"CIFARZOO_DATA": "n" * 300},
    ),
    verified(
        22,
        "an empty archive",
        r"cifar-10-binary\.tar\.gz.*0 bytes.*170,?052,?171",
        files={BINARY: b""},
    ),
    verified(
        22,
        "a truncated archive",
        r"cifar-10-binary\.tar\.gz.*bytes",
        files={BINARY: b"\x1f\x8b" + b"x" * 999},
    ),
    verified(
        22, "a web page for an archive", r"cifar-10-binary\.tar\.gz.*web page", files={BINARY: HTML}
    ),
    verified(
        23,
        "a truncated batch",
        r"has 1 of the 6 files; data_batch_2\.bin, .* missing; fetch it with `cifarzoo data fetch",
        files={f"{FILES}/data_batch_1.bin": b"x" * 3073},
    ),
    verified(
        23,
        "truncated batches",
        r"data_batch_1\.bin.*999 bytes.*30,?730,?000",
        files=dict.fromkeys(SIX, b"x" * 999),
    ),
    verified(
        24,
        "pickles that run something",
        r"data_batch_1\b",
        files=dict.fromkeys(SIX_PICKLES, GADGET),
    ),
    verified(
        25,
        "one file of six",
        r"data_batch_[2-5]|test_batch",
        files={f"{FILES}/data_batch_1.bin": b"x" * 30_730_000},
    ),
    verified(25, "one of two Parquet files", r"holds test-.*but no train-", files={TEST: b"PAR1"}),
    verified(
        23,
        "a Parquet file that is none",
        r"train-00000",
        files={TRAIN: b"PAR1xxxxPAR1", TEST: b"PAR1xxxxPAR1"},
    ),
    verified(
        22, "a web page for a Parquet file", r"train-00000.*", files={TRAIN: HTML, TEST: HTML}
    ),
]
TRAINED = [
    trained(
        21,
        "a run without a folder",
        r"CIFAR-10 needs a folder: name it with --data DIR or CIFARZOO_DATA",
    ),
    trained(
        21, "a run without its folder", r"there is no folder nope; .*data fetch", "--data", "nope"
    ),
    trained(
        22,
        "a run on a web page",
        r"cifar-10-binary\.tar\.gz.*web page",
        "--data",
        "d",
        files={BINARY: HTML},
    ),
    own(
        19,
        "a label beyond the classes",
        "labels[5] = 3",
        r"the label of training image 5 is 3; expected 0 to 2",
    ),
    own(
        19,
        "a negative label",
        "test_labels = np.array([0, -1])",
        r"the label of test image 1 is -1; expected 0 to 2",
    ),
    own(
        26,
        "NaN in float images",
        "images = images * np.nan",
        r"the training images are float64 .*; expected uint8 \(N, 3, 32, 32\)",
    ),
    own(
        26,
        "float images",
        "images = images / 255",
        r"the training images are float64 .*; expected uint8 \(N, 3, 32, 32\)",
    ),
    own(
        26,
        "images of another size",
        "images = images[:, :, :28, :28]",
        r"\(8, 3, 28, 28\).*\(N, 3, 32, 32\)|28",
    ),
    own(26, "grey images", "images = images[:, :1]", r"\(8, 1, 32, 32\)"),
    own(
        26,
        "images with channels last",
        "images = images.transpose(0, 2, 3, 1)",
        r"\(8, 32, 32, 3\)",
    ),
    own(
        26,
        "a label too few",
        "labels = labels[:7]",
        r"the training labels are int64 \(7,\); expected whole numbers \(8,\)",
    ),
    own(
        26,
        "labels that are fractions",
        "labels = labels / 2",
        r"the training labels are float64 \(8,\); expected whole numbers \(8,\)",
    ),
    own(
        26,
        "no training image",
        "images, labels = images[:0], labels[:0]",
        r"there are no training images",
    ),
    own(
        26,
        "no test image",
        "test_images, test_labels = images[:0], labels[:0]",
        r"there are no test images",
    ),
    own(26, "no classes", "classes = ()", r"few: has no classes; expected their names"),
    own(26, "a deviation of zero", "std = (0.2, 0.0, 0.2)", r"std.*0\.0"),
    own(
        26,
        "lists for arrays",
        "images = images.tolist()",
        r"the training images are a list; expected a NumPy array",
    ),
]
CASES = [*VERIFIED, *TRAINED]
