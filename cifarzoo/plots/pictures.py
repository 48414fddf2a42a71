"""Pictures of what components do: images as training sees them, and learning rates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cifarzoo.components.protocols import Dataset, Split, Timestamp
from cifarzoo.components.regularizers import acting_in
from cifarzoo.components.run import Run
from cifarzoo.data.order import subset
from cifarzoo.engine.assembly.build import Components, build, name_of
from cifarzoo.plots.style import look, styled
from cifarzoo.randomness.batch_draws import BatchDraws, Memory
from cifarzoo.randomness.keys import generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUM_IMAGES, NUM_DRAWS = 8, 10  # lines of a sheet, and columns behind the images themselves
GAP, WIDE_GAP = 2, 8  # pixels between images, and behind the first column
WIDTH, RATES_HEIGHT = 7.0, 2.4  # inches
NUM_POINTS = 1000  # of a curve
WHITE = 255


def draw_sheet(run: Run, *, folder: Path | None) -> Figure:
    """Some training images, and as several epochs see them: a line an image.

    Augmentations act in their order, then the regularizers of the ``batch`` stage.

    Args:
        run: Run whose images are drawn.
        folder: Folder of the data; None: not known.

    Raises:
        DataError: The dataset isn't there.
        ConfigError: Components don't fit together.
    """
    from matplotlib.figure import Figure

    components = build(run, folder=folder, device="meta")
    train, _ = components.dataset.load()
    sheet = contact_sheet(components, train, seed=run.seed)
    acting = [*components.augmentations, *acting_in("batch", components.regularizers)]
    with styled():
        figure = Figure(figsize=(WIDTH, WIDTH * sheet.shape[0] / sheet.shape[1] + 0.25))
        axes = figure.add_axes((0.01, 0.01, 0.98, 0.94))
        axes.imshow(sheet, interpolation="nearest", cmap="gray", vmin=0, vmax=WHITE)
        axes.set_axis_off()
        axes.set_title(f"images, and after {', '.join(acting)}")
    return figure


def contact_sheet(components: Components, train: Split, *, seed: int) -> np.ndarray:
    """The picture of ``draw_sheet`` without its title, uint8 (H, W, 3), or (H, W) of grey images.

    Args:
        components: What the run's factories made.
        train: Training images, of which the same random ones are always taken.
        seed: Seed of the run.
    """
    rows = subset(len(train.images), min(NUM_IMAGES, len(train.images)))
    images = torch.from_numpy(np.ascontiguousarray(train.images[rows]))
    labels = torch.from_numpy(np.asarray(train.labels, np.int64)[rows])
    targets = torch.nn.functional.one_hot(labels, len(components.dataset.classes)).float()
    memories = {name: Memory() for name in components.augmentations}
    columns = [images]
    for epoch in range(NUM_DRAWS):
        changed = images
        for name, augment in components.augmentations.items():
            changed = augment(changed, _draws(seed, name, epoch, len(changed), memories[name]))
        aims = targets.repeat(len(changed) // len(images), 1)
        for name, regularizer in acting_in("batch", components.regularizers).items():
            draws = _draws(seed, name, epoch, len(changed), Memory())
            changed, aims = regularizer.batch(changed, aims, draws)
        num_views = len(changed) // len(images)  # of which a column shows one
        views = changed.view(num_views, *images.shape)
        columns.append(as_pixels(views[epoch % num_views], components.dataset))
    return _put_together(columns)


def _draws(seed: int, name: str, epoch: int, count: int, memory: Memory) -> BatchDraws:
    def of_images() -> BatchDraws:
        return BatchDraws(generator(seed, name, "images"), count, recall=memory.from_start())

    rng = generator(seed, name, epoch, epoch)
    return BatchDraws(rng, count, epoch=epoch, of_images=of_images)


def as_pixels(images: Tensor, dataset: Dataset) -> Tensor:
    """uint8 images again, of normalised ones: by the dataset's mean and deviation."""
    if not images.is_floating_point():
        return images
    std, mean = (torch.tensor(each).view(1, -1, 1, 1) for each in (dataset.std, dataset.mean))
    return (255 * (images * std + mean)).round().clamp(0, 255).to(torch.uint8)


def _put_together(columns: list[Tensor]) -> np.ndarray:
    count, channels, height, width = columns[0].shape
    total = (len(columns) - 1) * (width + GAP) + width + WIDE_GAP - GAP
    sheet = torch.full((channels, count * (height + GAP) - GAP, total), WHITE, dtype=torch.uint8)
    for number, column in enumerate(columns):
        left = number * (width + GAP) + (WIDE_GAP - GAP) * (number > 0)
        for row, image in enumerate(column):
            top = row * (height + GAP)
            sheet[:, top : top + height, left : left + width] = image
    picture: np.ndarray = sheet.permute(1, 2, 0).squeeze(-1).numpy()
    return picture


def draw_rates(run: Run, *, folder: Path | None) -> Figure:
    """The factor on the base learning rate, from the first to the last epoch.

    Args:
        run: Run whose schedule is drawn.
        folder: Folder of the data; None: not known.

    Raises:
        ConfigError: Components don't fit together.
    """
    from matplotlib.figure import Figure

    components = build(run, folder=folder, device="meta")
    with styled():
        figure = Figure(figsize=(WIDTH, RATES_HEIGHT), layout="constrained")
        _draw_curve(figure.subplots(), run, components)
    return figure


def _draw_curve(axes: Axes, run: Run, components: Components) -> None:
    steps_per_epoch = max(1, (components.dataset.num_train or 0) // run.batch_size)
    steps_per_epoch = max(steps_per_epoch, -(-NUM_POINTS // run.epochs))
    total = run.epochs * steps_per_epoch
    steps = np.unique(np.linspace(0, total - 1, NUM_POINTS).astype(int))
    factors = [components.schedule(Timestamp(int(step), steps_per_epoch, total)) for step in steps]
    axes.plot(steps / steps_per_epoch, factors, color=look(1)[0], linewidth=1.2)
    axes.set_xlim(0, run.epochs)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("factor on the base rate")
    axes.set_title(name_of(run.schedule))
