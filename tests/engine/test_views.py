"""Batch stages that give several views of an image: their rows on ranks and in micro-batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cifarzoo.engine.assembly.build import build
from cifarzoo.engine.assembly.dry_run import dry_run
from cifarzoo.engine.assembly.plan import plan
from cifarzoo.engine.runner import execute
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Forward, Frame, Passed, Regularizer
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.regularizers.batch.mixup import mixup
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake
from tests.data.test_windows import BATCH_SIZE, batches_of, split_of, store_of
from tests.engine.test_loss import (
    FLOAT64,
    LINEAR,
    RECORDERS,
    STEPS,
    by_hand,
    class_weighted,
    recorder,
)
from tests.engine.test_ranks import check_parts_and_ranks, on_ranks, weights
from tests.tiny import tiny_run

CPU = torch.device("cpu")


@dataclass(frozen=True)
class AndMirrored(Regularizer):
    """Each image and its mirror image."""

    num_views: int = 2

    def batch(self, images: Tensor, targets: Tensor, _draws: Any) -> tuple[Tensor, Tensor]:
        return torch.cat([images, images.flip(3)]), torch.cat([targets, targets])


@dataclass(frozen=True)
class Dimmed(Regularizer):
    """Three views, dimmed by numbers that are drawn for each row."""

    num_views: int = 3

    def batch(self, images: Tensor, targets: Tensor, draws: Any) -> tuple[Tensor, Tensor]:
        views = [images * draws.uniform(0, 1)[:, None, None, None] for _ in range(3)]
        return torch.cat(views), targets.repeat(3, 1)


@dataclass(frozen=True)
class Agreement(Regularizer):
    """Penalises what the two views of an image are given apart."""

    def network(self, forward: Forward, images: Tensor, targets: Tensor, _draws: Any) -> Passed:
        logits, targets, penalty = forward(images, targets)
        one, two = logits.unflatten(0, (-1, 2)).unbind(1)
        return logits, targets, penalty + (one - two).square().mean()


@pytest.mark.parametrize(
    "changes",
    [
        {"regularizers": [AndMirrored]},
        {"regularizers": [shake_shake, AndMirrored, mixup, Agreement], "loss": class_weighted},
    ],
    ids=["alone", "gates, mixup, agreement, weights"],
)
def test_ranks_and_micro_batches_give_what_one_pass_gives(tmp_path, changes):
    check_parts_and_ranks(tmp_path, {**FLOAT64, "bn_group_size": 4, **changes})


def test_statistics_over_the_whole_batch_have_all_views_on_any_number_of_ranks(task, tmp_path):
    changes = {**FLOAT64, "regularizers": [AndMirrored]}
    execute(task("alone", **changes))

    ranks = on_ranks(tmp_path, "ranks", changes)

    alone = task("alone", **changes).open_folder()
    torch.testing.assert_close(weights(ranks), weights(alone), rtol=1e-9, atol=1e-12)


def test_two_views_train_as_a_batch_of_both(task, tmp_path):
    recorded = {**FLOAT64, **LINEAR, "regularizers": [AndMirrored, recorder]}
    execute(task("alone", **recorded))
    batches = RECORDERS[-1].seen
    weight, loss = by_hand(batches, [1.0] * 10, 0.0)

    ranks = on_ranks(tmp_path, "ranks", {**recorded, "regularizers": [AndMirrored]})

    assert [len(targets) for _, targets in batches] == [32] * STEPS
    for folder in (task("alone", **recorded).open_folder(), ranks):
        found = weights(folder)
        whole = torch.cat([found["2.weight"], found["2.bias"][:, None]], 1)
        np.testing.assert_allclose(whole, weight, rtol=1e-10, atol=1e-13)
        assert folder.metrics()[-1]["train_loss"] == pytest.approx(loss, rel=1e-12)


def test_the_views_of_an_image_follow_each_other_and_a_rank_has_all_of_its_images():
    run = tiny_run(augmentations=[normalize], regularizers=[AndMirrored], batch_size=BATCH_SIZE)
    components = build(run, folder=None)
    make = partial(batches_of, components, run, store=store_of(split_of(), Frame()))

    images, targets = make(rank=0, world_size=1)(3)
    parts = [make(rank=rank, world_size=4)(3) for rank in range(4)]

    assert len(images) == len(targets) == 2 * BATCH_SIZE
    assert torch.equal(images[1::2], images[::2].flip(3))
    assert torch.equal(targets[1::2], targets[::2])
    assert torch.equal(torch.cat([part for part, _ in parts]), images)
    assert torch.equal(torch.cat([part for _, part in parts]), targets)
    usual = build(replace(run, regularizers=()), folder=None)
    once = batches_of(usual, run, rank=0, world_size=1, store=store_of(split_of(), Frame()))
    assert torch.equal(images[::2], once(3)[0])


def test_views_of_views_multiply_and_draw_for_each_row():
    varied = [AndMirrored, Dimmed]
    run = tiny_run(augmentations=[normalize], regularizers=varied, batch_size=BATCH_SIZE)
    components = build(run, folder=None)
    sizes = plan(run, num_train=128, num_test=60, world_size=2, num_views=components.num_views)

    images, _ = batches_of(
        components, run, rank=0, world_size=1, store=store_of(split_of(), Frame())
    )(0)

    assert components.num_views == sizes.num_views == 6
    assert (sizes.num_rows, sizes.rows(1)) == (
        6 * BATCH_SIZE,
        slice(3 * BATCH_SIZE, 6 * BATCH_SIZE),
    )
    assert len(images) == 6 * BATCH_SIZE
    means = images.unflatten(0, (-1, 6)).abs().mean((2, 3, 4))
    assert len(means.flatten().unique()) == means.numel()  # no two rows were dimmed alike


@dataclass(frozen=True)
class Forgetful(AndMirrored):
    """Gives the views and the targets of one of them."""

    def batch(self, images: Tensor, targets: Tensor, _draws: Any) -> tuple[Tensor, Tensor]:
        return torch.cat([images, images]), targets


@dataclass(frozen=True)
class Undeclared(AndMirrored):
    """Gives views that it doesn't declare."""

    num_views: int = 1


@dataclass(frozen=True)
class Viewless(Regularizer):
    """Declares views and makes none."""

    num_views: int = 2

    def loss(self, loss: Any) -> Any:
        return loss


@pytest.mark.parametrize(
    ("regularizer", "message"),
    [
        (
            Forgetful,
            r"^Forgetful: gives another kind of batch; expected images and targets of the shapes "
            r"that it was given, 2 times as many, since its num_views is 2",
        ),
        (Undeclared, r"^Undeclared: gives another kind of batch; .* shapes that it was given$"),
        (Viewless, r"^Viewless: has num_views 2 and no batch stage, which would make the views"),
        (
            partial(AndMirrored, num_views=0),
            r"^AndMirrored: has num_views 0; expected a whole number of at least 1",
        ),
    ],
)
def test_views_that_are_not_as_declared_are_refused_in_words(regularizer, message):
    with pytest.raises(ConfigError, match=message) as refused:
        dry_run(tiny_run(regularizers=[regularizer]), folder=None, device=CPU)
    assert refused.value.exit_code == 2


@dataclass(frozen=True)
class Darker:
    """An augmentation that gives each image, and as dark as is drawn for each row."""

    num_views: int = 2
    at_evaluation: bool = False

    def __call__(self, images: Tensor, draws: Any) -> Tensor:
        dark = images * draws.uniform(0, 1)[:, None, None, None]
        return torch.cat([images, dark.to(images.dtype)])


def shifted(images: Tensor, draws: Any) -> Tensor:
    """Each row by a number of its own."""
    return images + draws.uniform(0, 1)[:, None, None, None]


def test_views_of_an_augmentation_are_rows_of_what_comes_behind_it_on_any_number_of_ranks():
    listed = [Darker, normalize, lambda: shifted]
    run = tiny_run(augmentations=listed, regularizers=[], batch_size=BATCH_SIZE)
    components = build(run, folder=None)
    make = partial(batches_of, components, run, store=store_of(split_of(), Frame()))

    images, targets = make(rank=0, world_size=1)(3)
    parts = [make(rank=rank, world_size=4)(3) for rank in range(4)]

    assert components.num_views == 2
    assert len(images) == len(targets) == 2 * BATCH_SIZE
    assert torch.equal(targets[1::2], targets[::2])
    assert torch.equal(torch.cat([part for part, _ in parts]), images)
    assert torch.equal(torch.cat([part for _, part in parts]), targets)
    plain = build(replace(run, augmentations=[normalize]), folder=None)
    once, _ = batches_of(plain, run, rank=0, world_size=1, store=store_of(split_of(), Frame()))(3)
    moved = (images[::2] - once)[:, 0, 0, 0]
    torch.testing.assert_close(images[::2], once + moved[:, None, None, None])
    assert len(moved.unique()) == BATCH_SIZE


def test_views_of_augmentations_and_of_batch_stages_multiply():
    changes = {"augmentations": [Darker, normalize], "regularizers": [AndMirrored]}
    run = tiny_run(batch_size=BATCH_SIZE, **changes)
    components = build(run, folder=None)
    make = partial(batches_of, components, run, store=store_of(split_of(), Frame()))

    images, _ = make(rank=0, world_size=1)(0)
    parts = [make(rank=rank, world_size=2)(0)[0] for rank in range(2)]

    assert components.num_views == 4
    assert torch.equal(torch.cat(parts), images)
    views = images.unflatten(0, (-1, 4))  # the image and the dark one, then both mirrored
    assert torch.equal(views[:, 2:], views[:, :2].flip(4))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            partial(Darker, num_views=3),
            r"^Darker: gives \(4, 3, 32, 32\) for images \(2, .* \(6, 3,",
        ),
        (partial(Darker, num_views=0), r"^Darker: has num_views 0; expected a whole number of at"),
        (partial(Darker, at_evaluation=True), r"^Darker: has num_views 2, and is a window or app"),
    ],
)
def test_an_augmentation_whose_views_are_not_as_declared_is_refused(made, message):
    with pytest.raises(ConfigError, match=message):
        dry_run(tiny_run(augmentations=[made, normalize]), folder=None, device=CPU)
