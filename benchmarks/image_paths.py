"""Ways from stored images to what a network takes: torchvision's, image by image, and ours.

Each is a job of ``cifarzoo.bench.timing``: it gets ready, and then makes a number of images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms
from torchvision.datasets import CIFAR10
from torchvision.transforms import v2

from benchmarks.task import MEAN, STD
from cifarzoo import config
from cifarzoo.bench.timing import Job, Work
from cifarzoo.data.store import ImageStore
from cifarzoo.data.windows import windowed
from cifarzoo.engine.assembly.build import Components, build, create, make
from cifarzoo.engine.assembly.plan import Plan, plan
from cifarzoo.engine.batches import Batches
from cifarzoo.engine.distributed.world import World
from cifarzoo.protocols import Dataset, Frame, Split
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator

THEIR_IMAGES, OUR_IMAGES = 512, 8192  # a sample, or a batch where it is larger
CUTOUT, AUTO, RAND, TRIVIAL = "cutout", "AutoAugment", "RandAugment", "TrivialAugmentWide"
POLICIES: dict[str, tuple[object, ...]] = {  # and the arguments of torchvision's classes
    AUTO: (transforms.AutoAugmentPolicy.CIFAR10,),
    RAND: (),
    TRIVIAL: (),
}
NAMES = {
    CUTOUT: "cutout",
    AUTO: "auto_augment",
    RAND: "rand_augment",
    TRIVIAL: "trivial_augment_wide",
}


class PilImages(CIFAR10):
    """torchvision's dataset of PIL images with its own code for items, from decoded arrays."""

    def __init__(self, source: Source, transform: Callable[..., Any]) -> None:
        self.data = source.pixels
        self.targets = source.split.labels.tolist()
        self.transform = transform
        self.target_transform = None


class TensorImages(TorchDataset[tuple[Tensor, int]]):
    """The same images as uint8 tensors (3, H, W)."""

    def __init__(self, split: Split, transform: Callable[[Tensor], Tensor]) -> None:
        self._images = torch.from_numpy(split.images)
        self._labels = split.labels.tolist()
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(self._images[index]), self._labels[index]


@dataclass(frozen=True)
class Source:
    """The images of a benchmark.

    Attributes:
        dataset: Dataset as cifarzoo reads it.
        split: Training images of the dataset.
        batch_size: Number of images in a batch.
        pixels: Images (N, H, W, C), as torchvision's dataset has them.
        stores: Stores of images that all ways share: with a frame CIFAR-10 takes half a gigabyte.
    """

    dataset: Dataset
    split: Split
    batch_size: int
    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    stores: dict[Frame, ImageStore] = field(default_factory=dict)

    def store(self, frame: Frame) -> ImageStore:
        """The images with a frame, made once."""
        if frame not in self.stores:
            self.stores[frame] = ImageStore(self.split, num_classes=10, device="cpu", frame=frame)
        return self.stores[frame]


def source_of(dataset: Dataset) -> Source:
    """The images of ``dataset``, in batches of 128."""
    split, _ = dataset.load()
    pixels = np.ascontiguousarray(split.images.transpose(0, 2, 3, 1))
    return Source(dataset, split, 128, pixels)


def dataset_of(data: Path | None) -> Dataset:
    """CIFAR-10 in ``data``; without a folder drawn shapes, which cost the same."""
    name = "@cifar10" if data else "@glyphs"
    run = config.load("resnet20.gin", sets=[f"run.dataset={name}"]).build()
    found: Dataset = make(run.dataset, folder=data)
    loaded = found.load()
    return replace(found, load=lambda: loaded)


def paths(source: Source) -> dict[tuple[str, str], Job]:
    """All ways, by what is done and by whom; the first by whom is what others are held against."""
    jobs: dict[tuple[str, str], Job] = {}
    for extra in (None, CUTOUT, *POLICIES):
        what = ", ".join(filter(None, ("crop, flip", extra)))
        jobs[what, "torchvision Dataset, PIL"] = partial(_pil, source, extra)
        jobs[what, "torchvision v2, tensors"] = partial(_tensors, source, extra)
        jobs[what, "cifarzoo, call by call"] = partial(_calls, source, extra)
        jobs[what, "cifarzoo"] = partial(_batches, source, extra)
    for policy in POLICIES:
        what = f"{policy} alone"
        jobs[what, "torchvision v2, tensors"] = partial(_policy_one_by_one, source, policy)
        jobs[what, "cifarzoo"] = partial(_policy, source, policy)
    return jobs


def _pil(source: Source, extra: str | None) -> Work:
    transform = _theirs(transforms, extra, [transforms.ToTensor()])
    return _loader(PilImages(source, transform), source.batch_size)


def _tensors(source: Source, extra: str | None) -> Work:
    transform = _theirs(v2, extra, [v2.ToDtype(torch.float32, scale=True)])
    return _loader(TensorImages(source.split, transform), source.batch_size)


def _theirs(library: ModuleType, extra: str | None, to_float: list[Any]) -> Callable[..., Any]:
    """The transforms of torchvision's version 1 or 2."""
    steps = [library.RandomCrop(32, padding=4), library.RandomHorizontalFlip()]
    if extra in POLICIES:
        steps.append(getattr(library, extra)(*POLICIES[extra]))
    steps += [*to_float, library.Normalize(MEAN, STD)]
    if extra == CUTOUT:  # 16 by 16 pixels
        steps.append(library.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0)))
    composed: Callable[..., Any] = library.Compose(steps)
    return composed


def _loader(images: TorchDataset[Any], batch_size: int) -> Work:
    """The main process makes the batches: workers would take the same time on other cores."""
    loader = DataLoader(images, batch_size, shuffle=True, drop_last=True)

    def work() -> float:
        count = 0
        for batch, _ in loader:
            count += len(batch)
            if count >= THEIR_IMAGES:
                break
        return count

    return work


def _batches(source: Source, extra: str | None) -> Work:
    """The engine's own batches."""
    components, sizes = _components(source, extra)
    _, frame = windowed(components.augmentations)
    batches = Batches(
        source.store(frame),
        components,
        sizes,
        seed=0,
        world=World(0, 1, torch.device("cpu")),
    )
    return _repeat(source, batches)


def _calls(source: Source, extra: str | None) -> Work:
    """The same augmentations, one call after another on gathered images."""
    components, _ = _components(source, extra)
    store = source.store(Frame())

    def step(number: int) -> Tensor:
        start = number * source.batch_size
        images, _ = store.batch(order[start : start + source.batch_size])
        for name, augment in components.augmentations.items():
            images = augment(images, BatchDraws(generator(0, name, number), len(images)))
        return images

    order = np.random.default_rng(0).permutation(len(store))
    return _repeat(source, step)


def _components(source: Source, extra: str | None) -> tuple[Components, Plan]:
    names = ["pad_crop", "flip", *([NAMES[extra]] if extra else []), "normalize"]
    listed = ", ".join(f"@{name}" for name in names)
    run = config.load(
        "resnet20.gin",
        sets=[f"run.augmentations=[{listed}]", f"run.batch_size={source.batch_size}"],
    ).build()
    run = replace(run, dataset=lambda: source.dataset)
    sizes = plan(run, num_train=len(source.split.labels), num_test=1)
    return build(run, folder=None), sizes


def _policy_one_by_one(source: Source, policy: str) -> Work:
    images = torch.from_numpy(source.split.images[: max(source.batch_size, THEIR_IMAGES)])
    change = getattr(v2, policy)(*POLICIES[policy])

    def work() -> float:
        return len(torch.stack([change(image) for image in images]))

    return work


def _policy(source: Source, policy: str) -> Work:
    images = torch.from_numpy(source.split.images[: source.batch_size])
    images = images.contiguous(memory_format=torch.channels_last)
    change = create(NAMES[policy])
    return _repeat(
        source, lambda number: change(images, BatchDraws(generator(0, number), len(images)))
    )


def _repeat(source: Source, step: Callable[[int], object]) -> Work:
    count = max(1, OUR_IMAGES // source.batch_size)
    step(0)

    def work() -> float:
        for number in range(count):
            step(number)
        return count * source.batch_size

    return work
