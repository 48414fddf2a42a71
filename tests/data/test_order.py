"""Data order and the store: functions of (seed, step), and exact gathers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cifarzoo.data.order import batch_indices, epoch_order, subset
from cifarzoo.data.store import ImageStore, check_split
from cifarzoo.errors import DataError
from cifarzoo.protocols import Split


def split_of(num_images: int = 7) -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num_images, 3, 32, 32), dtype=np.uint8)
    return Split(images=images, labels=np.arange(num_images) % 3)


def test_an_epoch_shows_every_image_once():
    batches = [batch_indices(5, step, num_images=64, batch_size=16) for step in range(4)]

    assert sorted(np.concatenate(batches)) == list(range(64))


def test_order_depends_on_seed_and_epoch_alone():
    assert np.array_equal(epoch_order(1, 2, 100), epoch_order(1, 2, 100))
    assert not np.array_equal(epoch_order(1, 2, 100), epoch_order(1, 3, 100))
    assert not np.array_equal(epoch_order(1, 2, 100), epoch_order(2, 2, 100))


def test_a_step_of_a_later_epoch_continues_its_own_order():
    indices = batch_indices(3, 5, num_images=50, batch_size=16)  # 3 steps an epoch

    assert np.array_equal(indices, epoch_order(3, 1, 50)[32:48])


def test_positions_are_uniform():
    # 400 epochs: each of 10 images is first 40 times on average, sd 6; four of them are 24.
    first = np.bincount([epoch_order(0, epoch, 10)[0] for epoch in range(400)], minlength=10)

    assert (np.abs(first - 40) < 24).all()


def test_a_subset_and_its_rest_are_the_whole():
    chosen, rest = subset(100, 30), subset(100, 30, rest=True)

    assert sorted([*chosen, *rest]) == list(range(100))
    assert (np.diff(chosen) > 0).all()


def test_a_subset_of_sorted_classes_holds_all_of_them():
    labels = np.repeat(np.arange(10), 100)

    assert set(labels[subset(1000, 200)]) == set(range(10))


def test_the_store_gives_the_images_asked_for_channels_last():
    split = split_of()
    store = ImageStore(split, num_classes=3, device="cpu")

    images, targets = store.batch(np.array([4, 0, 4]))

    assert np.array_equal(images.numpy(), split.images[[4, 0, 4]])
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert targets.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]


def test_the_store_may_hold_some_rows_only():
    split = split_of()
    store = ImageStore(split, num_classes=3, device="cpu", chosen=np.array([2, 5]))

    assert len(store) == 2
    assert np.array_equal(store.batch(np.array([1]))[0].numpy(), split.images[[5]])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 3, 28, 28), np.uint8), [0, 1], r"uint8 \(2, 3, 28, 28\); expected uint8"),
        (np.zeros((2, 3, 32, 32), np.float32), [0, 1], r"are float32 .*; expected uint8"),
        (np.zeros((0, 3, 32, 32), np.uint8), [], r"there are no test images"),
        (np.zeros((2, 3, 32, 32), np.uint8), [0], r"int64 \(1,\); expected whole numbers \(2,\)"),
        (np.zeros((2, 3, 32, 32), np.uint8), [0, 3], r"test image 1 is 3; expected 0 to 2"),
        (np.zeros((2, 3, 32, 32), np.uint8), [-1, 0], r"test image 0 is -1; expected 0 to 2"),
    ],
)
def test_a_split_that_nothing_can_be_trained_on_is_refused(images, labels, message):
    split = Split(images=images, labels=np.array(labels, np.int64))

    with pytest.raises(DataError, match=message):
        check_split(split, part="test", num_classes=3)
