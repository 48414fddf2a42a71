"""Images that aren't 3 x 32 x 32: from a plugin's dataset to a tested network."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cifarzoo.api.creation import create_model
from cifarzoo.engine.assembly.build import build_model
from cifarzoo.engine.assembly.dataset import read_dataset
from cifarzoo.engine.assembly.describe import describe
from cifarzoo.engine.assembly.dry_run import dry_run
from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError, DataError
from cifarzoo.protocols import Dataset, Split
from cifarzoo.zoo.augmentations.cutout import cutout
from cifarzoo.zoo.augmentations.flip import flip
from cifarzoo.zoo.augmentations.flip_tta import flip_tta
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.augmentations.pad_crop import pad_crop
from cifarzoo.zoo.augmentations.policies.rand_augment import rand_augment
from tests.tiny import tiny_run

CPU = torch.device("cpu")
GREY = (1, 28, 28)
WIDE = (2, 12, 20)


def bars(shape: tuple[int, int, int], count: int, seed: int) -> Split:
    """Noise with a bright row: the class is the half of the image that it is in."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 100, (count, *shape), np.uint8)
    labels = rng.integers(0, 2, count)
    rows = labels * shape[1] // 2 + rng.integers(0, shape[1] // 2, count)
    images[np.arange(count), :, rows] = 255
    return Split(images=images, labels=labels)


def mini(folder: Path | None, *, shape: tuple[int, int, int] = GREY, **promises: Any) -> Dataset:
    """Two classes of small images."""
    return Dataset(
        title="Mini",
        classes=("upper", "lower"),
        mean=(0.2,) * shape[0],
        std=(0.2,) * shape[0],
        load=lambda: (bars(shape, 64, 0), bars(shape, 128, 1)),
        **{"image_shape": shape, "num_train": 64, "num_test": 128, **promises},
    )


def rows_net(num_classes: int, in_channels: int, image_size: tuple[int, int]) -> nn.Module:
    """Linear in the rows of images of any one size."""
    height, width = image_size
    rows = nn.Conv2d(in_channels, 4, (1, width))
    return nn.Sequential(rows, nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * height, num_classes))


def any_size_net(num_classes: int, *, in_channels: int) -> nn.Module:
    """One that a mean over the pixels makes independent of the size."""
    conv = nn.Conv2d(in_channels, 4, 3)
    return nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))


def usual_net(num_classes: int) -> nn.Module:
    """One that says nothing of its images."""
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))


@pytest.mark.parametrize("shape", [GREY, WIDE])
@pytest.mark.parametrize(
    "augmentations",
    [
        [partial(pad_crop, padding=2), flip, normalize, flip_tta],  # one gather of windows
        [partial(cutout, size=4), normalize, partial(pad_crop, padding=2)],  # each on the batch
        [],
    ],
    ids=["windows", "batch", "none"],
)
def test_a_plugins_images_train_a_plugins_network(task, shape, augmentations):
    done = execute(
        task(
            "mini",
            dataset=partial(mini, shape=shape),
            architecture=rows_net,
            augmentations=augmentations,
            validation_images=16,
            epochs=8,
        )
    )

    # Half is what guessing gets; 4 standard errors of 128 images are 0.18.
    assert done.test.error < 0.5 - 4 * (0.25 / 128) ** 0.5
    assert (flip_tta in augmentations) == (done.tta_test is not None)


def test_what_it_builds_is_described_without_data():
    run = tiny_run(dataset=mini, architecture=rows_net)

    described = describe(run, data=None)

    # A multiply-add is two: 4 filters of 28 pixels on 28 rows, then 112 numbers to 2 classes.
    assert described.flops == 2 * (4 * 28 * 28 + 112 * 2)


def test_a_network_may_ask_for_channels_alone():
    run = tiny_run(dataset=mini, architecture=any_size_net, augmentations=[normalize])

    model = dry_run(run, folder=None, device=CPU).model

    assert model[0].in_channels == 1


def test_create_model_takes_the_shape():
    model = build_model(rows_net, num_classes=3, image_shape=WIDE)

    assert model(torch.zeros(2, *WIDE)).shape == (2, 3)
    for name in ("resnet8", "lenet", "airbench94"):
        assert create_model(name, image_shape=GREY)(torch.zeros(2, *GREY)).shape == (2, 10)
    with pytest.raises(ConfigError, match="at least 16 x 16 pixels, and these are 12 x 20"):
        create_model("lenet", image_shape=WIDE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture": usual_net},
            r"is usual_net, which is for images of 3 x 32 x 32, and the dataset's are 1 x 28 x 28; "
            r"expected a network that takes in_channels and image_size",
        ),
        (
            {"augmentations": [rand_augment, normalize]},
            r"^rand_augment: changes colours; expected images of 3 channels, and the",
        ),
        (
            {"augmentations": [partial(normalize, mean=[0.5, 0.5, 0.5])]},
            r"^normalize.mean is \[0.5, 0.5, 0.5\]; expected one number, 0 to 1, of pixels",
        ),
        (
            {"dataset": partial(mini, shape=GREY, image_shape=(28, 28))},
            r"^mini: has images of the shape \(28, 28\); expected channels, height and width",
        ),
    ],
)
def test_what_does_not_fit_such_images_is_refused_in_words(changes, message):
    run = tiny_run(**{"dataset": mini, "architecture": rows_net, **changes})

    with pytest.raises(ConfigError, match=message) as refused:
        dry_run(run, folder=None, device=CPU)
    assert refused.value.exit_code == 2


def test_a_dataset_that_has_other_images_than_it_says_is_refused():
    dataset = mini(None, image_shape=(1, 32, 32))

    with pytest.raises(DataError, match=r"uint8 \(64, 1, 28, 28\); expected uint8 \(N, 1, 32, 32"):
        read_dataset(dataset)
