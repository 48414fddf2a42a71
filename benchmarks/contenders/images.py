"""CIFAR-10 as torchvision gives it, a PIL image at a time, from arrays that are decoded already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torchvision import transforms
from torchvision.datasets import CIFAR10

from benchmarks.task import Task


class DecodedCIFAR10(CIFAR10):
    """torchvision's dataset, its items made by its own code, without its archive.

    Args:
        task: Task that has the images.
        transform: Transform of each image.
    """

    def __init__(self, task: Task, transform: Callable[..., Any] | None = None) -> None:
        images, labels = task.load()
        self.data = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        self.targets = labels.tolist()
        self.transform = transform
        self.target_transform = None


def crop_and_flip(task: Task) -> list[Any]:
    """The transforms of the recipe, by torchvision."""
    mode = {"zero": "constant"}.get(task.border, task.border)
    return [
        transforms.RandomCrop(32, padding=4, padding_mode=mode),
        transforms.RandomHorizontalFlip(),
    ]
