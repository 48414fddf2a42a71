"""What a contender is to train: one network, one batch size, the same images for all.

Only NumPy is needed here, since a contender may be run by a Python that has no cifarzoo.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
TEST_IMAGES = 1000


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained.

    Attributes:
        network: Name of the network, ``resnet18`` or ``wrn26_2``.
        batch_size: Number of images in a step.
        threads: Number of threads of the process that trains.
        workers: Number of workers of the loaders that have some.
        images: Folder with the arrays that ``save_images`` wrote.
        precision: Precision: ``float32``, ``bfloat16``, or ``auto``, the contender's own choice.
        kernels: What our ``run.kernels`` is.
    """

    network: str
    batch_size: int
    threads: int
    workers: int
    images: str
    precision: str = "auto"
    kernels: str = "auto"

    @property
    def is_bfloat16(self) -> bool:
        """Whether the contender was told to compute in bfloat16."""
        return self.precision == "bfloat16"

    @property
    def border(self) -> str:
        """What images are padded with before they are cropped, as the recipes say."""
        return {"resnet18": "zero", "wrn26_2": "reflect"}[self.network]

    @property
    def is_nesterov(self) -> bool:
        """Whether the recipe's momentum looks ahead."""
        return self.network == "wrn26_2"

    def text(self) -> str:
        """As JSON; without what isn't set, which an older tree needn't know."""
        settings = {field.name: field.default for field in fields(self)}
        return json.dumps({k: v for k, v in vars(self).items() if v != settings[k]})

    @classmethod
    def from_text(cls, text: str) -> Task:
        """What ``text()`` gave."""
        return cls(**json.loads(text))

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """The training images (N, 3, 32, 32), bytes, and their labels (N)."""
        folder = Path(self.images)
        return np.load(folder / "images.npy"), np.load(folder / "labels.npy")


def save_images(data: Path, folder: Path) -> str:
    """Decode CIFAR-10 once for all contenders; gives its title."""
    from cifarzoo import config

    dataset = config.load("resnet18.gin").build().dataset(folder=data)
    train, _ = dataset.load()
    np.save(folder / "images.npy", train.images)
    np.save(folder / "labels.npy", train.labels)
    return dataset.title
