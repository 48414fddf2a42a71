"""Augmentations as windows of the stored images: the same pixels as one call after another."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st

from cifarzoo.data.store import ImageStore, framed
from cifarzoo.data.windows import MAX_GROWTH, growth, windowed
from cifarzoo.engine.assembly.build import build
from cifarzoo.engine.assembly.plan import plan
from cifarzoo.engine.batches import Batches
from cifarzoo.engine.distributed.world import World
from cifarzoo.protocols import Frame, Split, Window
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.zoo.augmentations.alternating_flip import alternating_flip
from cifarzoo.zoo.augmentations.cutout import cutout
from cifarzoo.zoo.augmentations.flip import flip
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.augmentations.pad_crop import pad_crop
from cifarzoo.zoo.regularizers.batch.mixup import mixup
from cifarzoo.zoo.regularizers.loss.label_smoothing import label_smoothing
from tests.tiny import tiny_run

NUM_IMAGES = 40
BATCH_SIZE = 8
FLIPS_AND_CROPS = Frame(padding=6, is_mirrored=True)
CROPS = st.builds(
    lambda padding, mode: partial(pad_crop, padding=padding, mode=mode),
    st.sampled_from([0, 1, 4, 9, 20]),
    st.sampled_from(["reflect", "zero"]),
)
FLIPS = st.builds(lambda p: partial(flip, p=p), st.sampled_from([0.0, 0.5, 1.0]))
LISTS = st.lists(CROPS | FLIPS | st.sampled_from([alternating_flip, cutout]), max_size=6).filter(
    lambda augmentations: augmentations.count(alternating_flip) < 2  # which a run refuses
)


def split_of(count=NUM_IMAGES):
    rng = np.random.default_rng(1)
    pixels = rng.integers(256, size=(count, 3, 32, 32), dtype=np.uint8)
    return Split(images=pixels, labels=np.arange(count) % 10)


def store_of(split, frame):
    return ImageStore(split, num_classes=10, device="cpu", frame=frame)


def batches_of(components, run, *, rank, world_size, store):
    sizes = plan(run, num_train=len(store), num_test=10, world_size=world_size)
    world = World(rank, world_size, torch.device("cpu"))
    return Batches(store, components, sizes, seed=run.seed, world=world)


def one_after_another(augmentations, split, indices, *, seed, step):
    """What plain calls make of the images of a whole batch."""
    images, epoch = torch.from_numpy(split.images[indices]), step // (NUM_IMAGES // BATCH_SIZE)
    for name, augment in augmentations.items():
        of_images = partial(
            BatchDraws, generator(seed, name, "images"), len(split.labels), part=indices
        )
        rng = generator(seed, name, epoch, step)
        draws = BatchDraws(rng, BATCH_SIZE, epoch=epoch, of_images=of_images)
        images = augment(images, draws)
    return images


@settings(max_examples=40)
@given(augmentations=LISTS, step=st.integers(0, 12), ranks=st.sampled_from([1, 2]))
def test_batches_have_the_pixels_of_one_call_after_another(augmentations, step, ranks):
    run = tiny_run(augmentations=augmentations, batch_size=BATCH_SIZE, seed=5)
    components, split = build(run, folder=None), split_of()
    leading, frame = windowed(components.augmentations)
    store = store_of(split, frame)

    batches = [
        batches_of(components, run, rank=rank, world_size=ranks, store=store)
        for rank in range(ranks)
    ]
    found = torch.cat([make(step)[0] for make in batches])

    indices = np.concatenate([make.indices(step, rank=r) for r, make in enumerate(batches)])
    expected = one_after_another(components.augmentations, split, indices, seed=5, step=step)
    assert torch.equal(found, expected)
    assert list(leading) == list(components.augmentations)[: len(leading)]


@pytest.mark.parametrize("regularizer", [mixup, label_smoothing])
def test_ranks_cut_the_windows_that_one_process_cuts(regularizer):
    run = tiny_run(
        augmentations=[pad_crop, flip], regularizers=[regularizer], batch_size=BATCH_SIZE
    )
    components, split = build(run, folder=None), split_of()
    store = store_of(split, windowed(components.augmentations)[1])
    make = partial(batches_of, components, run, store=store)

    whole = make(rank=0, world_size=1)(3)[0]
    parts = [make(rank=rank, world_size=4)(3)[0] for rank in range(4)]

    assert torch.equal(torch.cat(parts), whole)


class ShiftDown:
    """A stranger's augmentation: up to two black lines on top."""

    frame = Frame(padding=2, mode="zero")

    def window(self, draws):
        top = draws.integers(3)
        return Window(top, torch.full_like(top, 2), torch.zeros_like(top, dtype=torch.bool))

    def __call__(self, images, draws):
        raise AssertionError(f"{self} was called with {images.shape} and {draws}")


def test_a_strangers_window_is_cut_instead_of_calling_it():
    run = tiny_run(augmentations=[flip, ShiftDown], batch_size=BATCH_SIZE)
    components, split = build(run, folder=None), split_of()
    store = store_of(split, windowed(components.augmentations)[1])
    batches = batches_of(components, run, rank=0, world_size=1, store=store)

    found, _ = batches(2)

    made, rows = components.augmentations, batches.indices(2, rank=0)
    flipped = one_after_another({"flip": made["flip"]}, split, rows, seed=0, step=2)
    lines = (2 - BatchDraws(generator(0, "ShiftDown", 0, 2), BATCH_SIZE).integers(3)).tolist()
    shifted = [
        tv.pad(image, [0, line, 0, 0])[:, :32] for image, line in zip(flipped, lines, strict=True)
    ]
    assert torch.equal(found, made["normalize"](torch.stack(shifted), None))


def made(*factories):
    return {f"{i}": factory() for i, factory in enumerate(factories)}


@pytest.mark.parametrize(
    ("factories", "count", "frame"),
    [
        ([], 0, Frame()),
        ([pad_crop, flip, cutout], 2, Frame(padding=4, is_mirrored=True)),
        (
            [flip, partial(pad_crop, mode="zero")],
            2,
            Frame(padding=4, mode="zero", is_mirrored=True),
        ),
        ([pad_crop, flip, pad_crop], 2, Frame(padding=4, is_mirrored=True)),
        ([partial(pad_crop, padding=0), pad_crop], 2, Frame(padding=4)),
        ([cutout, pad_crop], 0, Frame()),
        ([partial(normalize, mean=[0.5] * 3, std=[0.5] * 3), pad_crop], 0, Frame()),
        ([alternating_flip, flip, flip], 3, Frame(is_mirrored=True)),
        ([partial(pad_crop, padding=16)], 1, Frame(padding=16)),
        ([partial(pad_crop, padding=17)], 0, Frame()),
        ([partial(pad_crop, padding=7), flip], 1, Frame(padding=7)),
    ],
)
def test_the_window_ends_before_a_second_padding_and_before_too_many_bytes(factories, count, frame):
    augmentations = made(*factories)

    leading, found = windowed(augmentations)

    assert (list(leading.values()), found) == (list(augmentations.values())[:count], frame)
    assert growth(found) <= MAX_GROWTH


@pytest.mark.parametrize(
    "frame", [Frame(), Frame(padding=4), Frame(padding=16, mode="zero"), FLIPS_AND_CROPS]
)
def test_framed_images_take_as_many_bytes_as_stated(frame):
    images = torch.from_numpy(split_of(3).images).permute(0, 2, 3, 1)

    assert framed(images, frame).numel() == growth(frame) * images.numel()


@pytest.mark.parametrize(("mode", "theirs"), [("reflect", "reflect"), ("zero", "constant")])
@pytest.mark.parametrize("padding", [0, 1, 5, 31])
def test_frames_are_torchvisions_padding(padding, mode, theirs):
    images = torch.from_numpy(split_of(3).images)

    plain, mirrored = framed(
        images.permute(0, 2, 3, 1), Frame(padding=padding, mode=mode, is_mirrored=True)
    ).unbind(1)

    expected = tv.pad(images, [padding], padding_mode=theirs)
    assert torch.equal(plain.permute(0, 3, 1, 2), expected)
    assert torch.equal(mirrored.permute(0, 3, 1, 2), tv.horizontal_flip(expected))


def test_the_store_cuts_torchvisions_crops_and_mirrors_them():
    split = split_of(18)
    store = store_of(split, Frame(padding=1, is_mirrored=True))
    top, left, side = torch.cartesian_prod(*map(torch.arange, (3, 3, 2))).unbind(1)

    found, _ = store.batch(np.arange(18), Window(top, left, side == 1))

    for image, row, y, x, turned in zip(
        torch.from_numpy(split.images), found, top, left, side, strict=True
    ):
        cut = tv.crop(tv.pad(image, [1], padding_mode="reflect"), int(y), int(x), 32, 32)
        assert torch.equal(row, tv.horizontal_flip(cut) if turned else cut)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_a_framed_store_gives_whole_images_where_no_window_is_asked_for():
    split = split_of(9)
    store = store_of(split, Frame(padding=3, is_mirrored=True))

    assert np.array_equal(store.batch(np.arange(9)[::-1])[0].numpy(), split.images[::-1])
