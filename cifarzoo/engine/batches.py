"""The training batch of a step, as a function of (seed, step): order, augment, mix.

One rank augments its own rows of the global batch only, unless a regularizer acts on whole
batches: then every rank makes the whole batch and keeps its rows, so that the pairs of mixup
are the same for any number of ranks. A row is an image, or a view of it where a component
makes several: then all views of an image follow each other, and what is cut out of a batch,
for a rank, a forward pass or a group of BatchNorm, has all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from cifarzoo.components.hooks import SupportsViews, acts_at_evaluation, num_training_views
from cifarzoo.components.protocols import Augmentation
from cifarzoo.components.regularizers import acting_in
from cifarzoo.data.order import Indices, batch_indices
from cifarzoo.data.store import ImageStore
from cifarzoo.data.windows import window_of, windowed
from cifarzoo.engine.assembly.build import Components
from cifarzoo.engine.assembly.plan import Plan
from cifarzoo.engine.distributed.world import World
from cifarzoo.randomness.batch_draws import BatchDraws, Memory
from cifarzoo.randomness.global_generators import seed_generators
from cifarzoo.randomness.keys import generator

Rows: TypeAlias = slice | Indices
EVERY_ROW = slice(None)
CPU = torch.device("cpu")


class Batches:
    """Makes this rank's part of each training batch.

    Args:
        store: The training images, with the frame of ``windowed(components.augmentations)``.
        components: The run's augmentations and regularizers.
        plan: Sizes of the run.
        seed: Seed of the run.
        world: Ranks of the run.
    """

    def __init__(
        self, store: ImageStore, components: Components, plan: Plan, *, seed: int, world: World
    ) -> None:
        self._store = store
        self._plan = plan
        self._seed = seed
        self._device = world.device
        self._rank = world.rank
        self._leading, _ = windowed(components.augmentations, image_size=store.image_size)
        self._rest = {
            name: augment
            for name, augment in components.augmentations.items()
            if name not in self._leading
        }
        self._memories = defaultdict[str, Memory](Memory)
        self._mixing = acting_in("batch", components.regularizers)

    def indices(self, step: int, *, rank: int) -> list[int]:
        """The images of a rank's part of the batch, for messages."""
        mine: list[int] = self.of_step(step)[self._plan.part(rank)].tolist()
        return mine

    def of_step(self, step: int) -> Indices:
        """Which training images those of the global batch are (N,)."""
        return batch_indices(
            self._seed, step, num_images=len(self._store), batch_size=self._plan.batch_size
        )

    def __call__(self, step: int, selected: Indices | None = None) -> tuple[Tensor, Tensor]:
        """This rank's part of a training batch.

        Args:
            step: Number of the optimizer step.
            selected: Places in the global batch of the images that are trained on; None: all.

        Returns:
            Images float32 (n, C, H, W) and targets (n, K).
        """
        num_images = self._plan.batch_size if selected is None else len(selected)
        share = num_images // self._plan.world_size
        mine = slice(self._rank * share, (self._rank + 1) * share)
        rows: Rows = mine if selected is None else selected[mine]
        if self._mixing:
            rows = EVERY_ROW if selected is None else selected
        # On the CPU: a few numbers an image, which go to a GPU with the images' in one copy.
        window = window_of(
            self._leading, lambda name: self._draws_for(name, step, rows, device=CPU)
        )
        images, targets = self._store.batch(self.of_step(step)[rows], window)
        num_views = 1
        for name, augment in self._rest.items():
            images = augment(images, self._draws_for(name, step, rows, num_views))
            num_views *= num_training_views(augment)
        if num_views > 1:
            targets = targets.repeat(num_views, 1)
        for name, regularizer in self._mixing.items():
            draws = self._draws_for_mixing(name, step, rows, num_images, num_views)
            images, targets = regularizer.batch(images, targets, draws)
            num_views *= regularizer.num_views
        mine = mine if self._mixing else EVERY_ROW
        images, targets = (image_by_image(rows, num_views, mine) for rows in (images, targets))
        return images.contiguous(memory_format=torch.channels_last), targets

    def _draws_for(
        self,
        name: str,
        step: int,
        rows: Rows,
        num_views: int = 1,
        *,
        device: torch.device | None = None,
    ) -> BatchDraws:
        """The draws of an augmentation that acts now: an image's are the same in any selection."""
        places = np.arange(self._plan.batch_size * num_views).reshape(num_views, -1)
        part = rows if num_views == 1 else places[:, rows].ravel()
        images = np.tile(self.of_step(step)[rows], num_views)
        on = device or self._device
        return self._draws(name, step, images, part, num_rows=places.size, device=on)

    def _draws_for_mixing(
        self, name: str, step: int, rows: Rows, num_images: int, num_views: int
    ) -> BatchDraws:
        """The draws of a regularizer that acts now on all that is trained on."""
        images = np.tile(self.of_step(step)[rows], num_views)
        num_rows = num_images * num_views
        return self._draws(name, step, images, EVERY_ROW, num_rows=num_rows, device=self._device)

    def _draws(
        self,
        name: str,
        step: int,
        images: Indices,
        part: Rows,
        *,
        num_rows: int,
        device: torch.device,
    ) -> BatchDraws:
        """The draws of a component, for which the global generators are reseeded."""
        # Plugins may draw from these. Where every rank makes the whole batch, all make the same.
        seed_generators(self._seed, name, "torch", step, 0 if self._mixing else self._rank)
        epoch = step // self._plan.steps_per_epoch

        def of_images() -> BatchDraws:
            return BatchDraws(
                generator(self._seed, name, "images"),
                len(self._store),
                part=images,
                device=device,
                recall=self._memories[name].from_start(),
            )

        return BatchDraws(
            generator(self._seed, name, epoch, step),
            num_rows,
            part=part,
            device=device,
            epoch=epoch,
            of_images=of_images,
        )


def image_by_image(rows: Tensor, num_views: int, images: slice) -> Tensor:
    """Some images of (V * N, ...), one view of all images after the other, as (n * V, ...)."""
    if num_views == 1:
        return rows[images]
    views = rows.view(num_views, -1, *rows.shape[1:])
    return views[:, images].transpose(0, 1).flatten(0, 1)


def views_of(
    augmentations: Mapping[str, Augmentation], images: Tensor
) -> list[tuple[float, Tensor]]:
    """Weights and views of prepared test images: of every augmentation that offers any."""
    seen = [(1.0, images)]
    for augment in augmentations.values():
        if isinstance(augment, SupportsViews):
            seen = [(w * v, view) for w, old in seen for v, view in augment.views(old)]
    return seen


def prepare_for_evaluation(augmentations: Mapping[str, Augmentation], images: Tensor) -> Tensor:
    """Test images as the network takes them: only what acts at evaluation is applied."""
    draws = BatchDraws(generator(0, "evaluation"), len(images), device=images.device)
    for augment in augmentations.values():
        if acts_at_evaluation(augment):
            images = augment(images, draws)
    return images.contiguous(memory_format=torch.channels_last)
