"""CIFAR-10 and CIFAR-100, in any of the forms that people have them in."""

from pathlib import Path
from typing import Literal

from cifarzoo import register
from cifarzoo.data.catalogue import CIFAR10, CIFAR100
from cifarzoo.data.opening import open_published
from cifarzoo.protocols import Dataset


@register.dataset
def cifar10(folder: Path | None) -> Dataset:
    """CIFAR-10: 60,000 photographs, 32 x 32, of ten kinds of animals and vehicles.

    Krizhevsky, 2009, "Learning multiple layers of features from tiny images". 50,000 training
    and 10,000 test images.

    Looked for, in this order: the binary archive or its unpacked folder, the Parquet files of
    the Hugging Face hub, the python archive or its unpacked folder (torchvision's); in
    ``folder`` and in sub-folders of it named after the dataset. Files of the author's own
    versions must have the published digests. Other images than the published ones show in the
    title, ``CIFAR-10 (JPEG)`` for example, since errors on them aren't comparable.

    Args:
        folder: Where it is; None: not known, and only ``load`` will fail.

    Raises:
        DataError: There is no CIFAR-10 in ``folder``.
    """
    return open_published(CIFAR10, folder, labelling=CIFAR10.labellings[0])


@register.dataset
def cifar100(folder: Path | None, *, labels: Literal["fine", "coarse"] = "fine") -> Dataset:
    """CIFAR-100: 60,000 photographs, 32 x 32, of 100 kinds of things in 20 groups.

    Krizhevsky, 2009, "Learning multiple layers of features from tiny images". 50,000 training
    and 10,000 test images. Looked for as CIFAR-10 is.

    Args:
        folder: Where it is; None: not known, and only ``load`` will fail.
        labels: The 100 kinds (fine) or the 20 groups (coarse).

    Raises:
        DataError: There is no CIFAR-100 in ``folder``.
    """
    labelling = next(each for each in CIFAR100.labellings if each.name == labels)
    return open_published(CIFAR100, folder, labelling=labelling)
