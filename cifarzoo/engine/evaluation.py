"""Evaluation: every image is counted once, on any number of ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.components.hooks import SupportsViews
from cifarzoo.data.store import ImageStore
from cifarzoo.engine.batches import prepare_for_evaluation, views_of
from cifarzoo.engine.device.precision import Scaler
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.events import Score
from cifarzoo.engine.recorder import Recorder
from cifarzoo.engine.training import Setup
from cifarzoo.randomness.global_generators import seed_generators

Views: TypeAlias = Callable[[Tensor], Sequence[tuple[float, Tensor]]]

# On a CPU 64 images stay in its cache: 1.2 times as fast as 500. A GPU is filled by many.
BATCH_SIZE = {"cpu": 64, "cuda": 1000}


def score(
    setup: Setup,
    network: nn.Module,
    scaler: Scaler,
    store: ImageStore,
    *,
    views: bool = False,
    recorder: Recorder | None = None,
) -> Score:
    """Test a network as its run says on all images of ``store``.

    Args:
        setup: What is trained, and on which ranks.
        network: The network, or its average.
        scaler: The arithmetic of forward passes.
        store: Images that are tested on.
        views: Whether logits are averaged over the views that augmentations offer.
        recorder: Keeps what is given for each image; None: only the score is wanted.
    """
    augmentations = setup.components.augmentations
    # What a network draws in a test is then the same whenever its weights are tested.
    seed_generators(setup.run.seed, "evaluation", "torch", setup.world.rank)
    return evaluate(
        network,
        store,
        prepare=partial(prepare_for_evaluation, augmentations),
        scaler=scaler,
        world=setup.world,
        batch_size=BATCH_SIZE.get(setup.world.device.type, 64),
        views=partial(views_of, augmentations) if views else None,
        below=_below(setup) if views else None,
        recorder=recorder,
    )


def offers_views(setup: Setup) -> bool:
    """Whether an augmentation offers several views of a test image."""
    return any(isinstance(a, SupportsViews) for a in setup.components.augmentations.values())


def _below(setup: Setup) -> float | None:
    """The lead from which on images have no views; None: all have."""
    offering = [a for a in setup.components.augmentations.values() if isinstance(a, SupportsViews)]
    leads: list[float] = [getattr(augment, "views_below", None) or math.inf for augment in offering]
    below = max(leads, default=math.inf)
    return None if math.isinf(below) else below


@torch.no_grad()
def evaluate(
    model: nn.Module,
    store: ImageStore,
    *,
    prepare: Callable[[Tensor], Tensor],
    scaler: Scaler,
    world: World,
    batch_size: int,
    views: Views | None = None,
    below: float | None = None,
    recorder: Recorder | None = None,
) -> Score:
    """Test ``model`` on all images of ``store``, shared out over the ranks.

    Args:
        model: Any network; left in the mode it was in.
        store: Images that are tested on.
        prepare: From uint8 images to the network's input.
        scaler: The arithmetic of forward passes.
        world: Ranks of the run.
        batch_size: Images a forward pass.
        views: Gives the weighted views of a prepared batch, whose logits are averaged; None: the
            batch alone.
        below: Lead of the most probable class over the next from which on an image is seen as it
            is alone; None: all images are seen in all views.
        recorder: Keeps what is given for each image of this rank; None: nothing is kept.
    """
    was_training = model.training
    model.eval()
    totals = torch.zeros(3, dtype=torch.float64)  # loss, wrong, images
    mine = np.arange(world.rank, len(store), world.size)
    for start in range(0, len(mine), batch_size):
        images, targets = store.batch(mine[start : start + batch_size])
        prepared = prepare(images)
        forward = partial(scaler.forward, model)
        seen = views(prepared) if views else ()
        if below is None:
            logits = _logits(forward, prepared, seen)
        else:
            logits = _logits_of_unsure(forward, prepared, seen, below)
        predicted, labels = logits.argmax(1), targets.argmax(1)
        if recorder:
            recorder.add(logits, predicted, labels, num_views=max(1, len(seen)))
        totals += _totals(logits, targets, (predicted != labels).sum())
    model.train(was_training)
    loss, wrong, count = world.gather(totals.to(world.device)).sum(0).tolist()
    if count != len(store):
        raise AssertionError(f"{count} images were counted of {len(store)}")
    return Score(loss=loss / count, error=wrong / count)


def _logits(
    forward: Callable[[Tensor], Tensor], images: Tensor, views: Sequence[tuple[float, Tensor]]
) -> Tensor:
    """Logits, averaged over the views as they are weighted; of the images where there are none."""
    if not views:
        return forward(images)
    weighted = [
        weight * forward(view.contiguous(memory_format=torch.channels_last))
        for weight, view in views
    ]
    return torch.stack(weighted).sum(0)


def _logits_of_unsure(
    forward: Callable[[Tensor], Tensor],
    images: Tensor,
    views: Sequence[tuple[float, Tensor]],
    below: float,
) -> Tensor:
    """Logits of the images; of those whose first class leads by less, averaged over the views."""
    logits = forward(images)
    first, second = logits.softmax(1).topk(2).values.unbind(1)
    is_unsure = first - second < below
    if is_unsure.any():
        chosen = [(weight, view[is_unsure]) for weight, view in views]
        logits[is_unsure] = _logits(forward, images[is_unsure], chosen).to(logits.dtype)
    return logits


def _totals(logits: Tensor, targets: Tensor, wrong: Tensor) -> Tensor:
    loss = F.cross_entropy(logits, targets, reduction="sum")
    return torch.stack([loss, wrong, wrong.new_tensor(len(logits))]).double().cpu()
