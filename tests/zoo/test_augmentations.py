"""Augmentations against torchvision's functions row by row, and the statistics of their draws."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Dataset
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.zoo.augmentations.cutout import cutout
from cifarzoo.zoo.augmentations.flip import flip
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.augmentations.pad_crop import crop_padded, pad_crop

RECORDED = Path(__file__).parents[1] / "fixtures" / "flax2020" / "wrn_n1m1.npz"
NORMALIZED_SHA256 = (
    "637275f34d9eecc0145bd8ba69e7d5b28d5ed6c4f8ec5385371423661339cf59"  # of its NHWC floats
)
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
DATASET = Dataset(title="none", classes="0123456789", mean=MEAN, std=STD, load=lambda: None)
ALL = [pad_crop(), pad_crop(mode="zero"), flip(), cutout(dataset=DATASET)]
NAMES = ["reflect", "zero", "flip", "cutout"]


def images_of(count=64, height=32, width=32):
    pixels = np.random.default_rng(0).integers(256, size=(count, 3, height, width), dtype=np.uint8)
    return torch.from_numpy(pixels)


def draws(count, *, part=slice(None)):
    return BatchDraws(generator(0, "augmentation"), count, part=part)


def standardize(images):
    return normalize(dataset=DATASET)(images)


@pytest.mark.parametrize("height", [32, 24])
@pytest.mark.parametrize(("mode", "theirs"), [("reflect", "reflect"), ("zero", "constant")])
def test_pad_crop_equals_torchvisions_pad_and_crop_at_every_offset(mode, theirs, height):
    images = images_of(81, height=height)
    top, left = torch.cartesian_prod(torch.arange(9), torch.arange(9)).unbind(1)
    found = crop_padded(images, top, left, padding=4, mode=mode)
    for image, row, y, x in zip(images, found, top.tolist(), left.tolist(), strict=True):
        padded = tv.pad(image, [4], padding_mode=theirs)
        assert torch.equal(row, tv.crop(padded, y, x, height, 32))


@pytest.mark.parametrize("padding", [0, 1, 31])
def test_reflection_reaches_as_far_as_torchvisions(padding):
    images, offset = images_of(2), torch.tensor([0, 2 * padding])
    found = crop_padded(images, offset, offset, padding=padding, mode="reflect")
    padded = tv.pad(images, [padding], padding_mode="reflect")
    assert torch.equal(found[0], tv.crop(padded[0], 0, 0, 32, 32))
    assert torch.equal(found[1], tv.crop(padded[1], 2 * padding, 2 * padding, 32, 32))


def test_pad_crop_takes_its_windows_from_the_draws_row_first():
    images, same_draws = images_of(), draws(64)
    top, left = same_draws.integers(9), same_draws.integers(9)
    expected = crop_padded(images, top, left, padding=4, mode="reflect")
    assert torch.equal(pad_crop()(images, draws(64)), expected)


def test_pad_crop_may_leave_out_the_last_offsets():
    found = pad_crop(mode="zero", offsets=8)(images_of(1).expand(5000, -1, -1, -1), draws(5000))
    padded = np.pad(images_of(1)[0].numpy(), ((0, 0), (4, 4), (4, 4)))
    windows = {padded[:, y : y + 32, x : x + 32].tobytes() for y in range(8) for x in range(8)}
    assert {row.tobytes() for row in found.numpy()} == windows


def test_flip_equals_torchvisions_for_the_drawn_samples():
    images, is_flipped = images_of(), draws(64).bernoulli(0.5)
    found = flip()(images, draws(64))
    for image, row, turned in zip(images, found, is_flipped, strict=True):
        assert torch.equal(row, tv.horizontal_flip(image) if turned else image)
    assert 0 < is_flipped.sum() < 64


@pytest.mark.parametrize("size", [1, 8, 15, 16, 64])
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_cutout_equals_torchvisions_erase_of_the_clipped_square(size, p):
    images, same_draws = images_of(height=24), draws(64)
    y, x, is_cut = same_draws.integers(24), same_draws.integers(32), same_draws.bernoulli(p)
    mean = torch.tensor([125, 123, 114], dtype=torch.uint8)[:, None, None]
    found = cutout(size=size, p=p, dataset=DATASET)(images, draws(64))
    for image, row, i, j, cut in zip(images, found, y.tolist(), x.tolist(), is_cut, strict=True):
        top, bottom = max(i - size // 2, 0), min(i - size // 2 + size, 24)
        left, right = max(j - size // 2, 0), min(j - size // 2 + size, 32)
        erased = tv.erase(image, top, left, bottom - top, right - left, mean)
        assert torch.equal(row, erased if cut else image)


def test_squares_inside_are_whole_and_as_likely_in_every_place():
    n, size = 20000, 12
    white = torch.full((n, 3, 14, 15), 255, dtype=torch.uint8)
    cut = cutout(size=size, inside=True, fill="zero")(white, draws(n))[:, 0] == 0
    assert torch.equal(cut.sum((1, 2)), torch.full((n,), size**2))
    places = cut.flatten(1).to(torch.uint8).argmax(1)  # of the first pixel, row by row
    counts = places.bincount(minlength=14 * 15)
    expected = n / (3 * 4)
    assert (counts > 0).sum() == 12
    assert (counts[counts > 0] - expected).abs().max() < 4 * expected**0.5


def test_a_square_inside_is_no_larger_than_the_image():
    with pytest.raises(ConfigError, match="size is 16; expected at most the images' 14 pixels"):
        cutout(inside=True, fill="zero")(torch.zeros(2, 3, 14, 15, dtype=torch.uint8), draws(2))


def test_cutout_after_normalize_leaves_zeros_where_before_it_leaves_about_the_mean():
    images = images_of()
    cut = cutout(dataset=DATASET)
    after = cut(standardize(images), draws(64))
    before = standardize(cut(images, draws(64)))
    is_cut = after == 0
    assert is_cut.any()
    torch.testing.assert_close(before[~is_cut], after[~is_cut], rtol=0, atol=0)
    assert before[is_cut].abs().max() < 0.5 / 255 / min(STD)


def test_cutout_with_zeros_is_black_before_normalize():
    black = cutout(fill="zero")(torch.full((50, 3, 32, 32), 9, dtype=torch.uint8), draws(50))
    assert set(black.unique().tolist()) == {0, 9}


@pytest.mark.parametrize("p", [1.0, 0.5])
def test_cutout_of_a_batch_is_one_square_or_none_at_all(p):
    white = torch.full((64, 3, 32, 32), 255, dtype=torch.uint8)
    filled = []
    for step in range(40):
        step_draws = BatchDraws(generator(step, "augmentation"), 64)
        some = cutout(p=p, per="batch", dataset=DATASET)(white, step_draws)
        assert torch.equal(some, some[:1].expand_as(some))
        filled.append(bool((some[0] != 255).any()))
    assert all(filled) if p == 1 else 20 - 4 * 40**0.5 / 2 < sum(filled) < 20 + 4 * 40**0.5 / 2


def test_cutout_with_a_probability_spares_the_other_images():
    white = torch.full((1000, 3, 32, 32), 255, dtype=torch.uint8)
    is_cut = (cutout(p=0.3, dataset=DATASET)(white, draws(1000)) != 255).flatten(1).any(1)
    assert abs(is_cut.float().mean() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 1000)


def test_normalize_gives_the_bits_of_the_original_code():
    pixels = torch.from_numpy(np.load(RECORDED)["x_uint8"]).flatten(0, 1).permute(0, 3, 1, 2)
    recorded_layout = standardize(pixels).permute(0, 2, 3, 1).contiguous()
    assert hashlib.sha256(recorded_layout.numpy().tobytes()).hexdigest() == NORMALIZED_SHA256


def test_normalize_equals_torchvisions():
    images = images_of()
    expected = tv.normalize(tv.to_dtype(images, torch.float32, scale=True), MEAN, STD)
    found = normalize(mean=MEAN, std=STD)(images)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_normalize_takes_pixel_values_as_floats_too_and_leaves_them():
    floats = images_of().float()
    assert torch.equal(standardize(floats), standardize(images_of()))
    assert torch.equal(floats, images_of().float())


def test_normalize_prefers_its_own_numbers_to_the_datasets():
    found = normalize(std=[0.5, 0.5, 0.5], dataset=DATASET)(images_of())
    torch.testing.assert_close(found, normalize(mean=MEAN, std=[0.5] * 3)(images_of()))


def test_only_normalize_acts_at_evaluation():
    assert normalize(dataset=DATASET).at_evaluation
    assert not any(getattr(augmentation, "at_evaluation", False) for augmentation in ALL)


@pytest.mark.parametrize("augmentation", ALL, ids=NAMES)
@pytest.mark.parametrize("prepare", [lambda x: x, standardize], ids=["uint8", "float"])
def test_ranks_together_augment_as_one_process_does(augmentation, prepare):
    images = prepare(images_of())
    whole = augmentation(images, draws(64))
    parts = [slice(0, 16), slice(16, 32), slice(32, 64)]
    pieces = [augmentation(images[part], draws(64, part=part)) for part in parts]
    assert whole.dtype == images.dtype
    assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize("augmentation", [*ALL, normalize(dataset=DATASET)])
def test_the_memory_format_changes_no_pixel_and_the_input_stays(augmentation):
    images = images_of()
    nhwc = images.contiguous(memory_format=torch.channels_last)
    expected = augmentation(images, draws(64))
    assert torch.equal(augmentation(nhwc, draws(64)), expected)
    assert torch.equal(nhwc, images_of())


def test_all_81_windows_are_equally_likely_and_rows_independent_of_columns():
    count = 81_000
    same_draws = draws(count)
    top, left = same_draws.integers(9), same_draws.integers(9)
    # Chi-squared with 80 degrees of freedom: mean 80, variance 160.
    counts = torch.bincount(9 * top + left, minlength=81)
    chi_squared = ((counts - 1000) ** 2 / 1000).sum().item()
    assert abs(chi_squared - 80) < 4 * math.sqrt(160)


def test_half_of_the_images_are_flipped():
    gradient = torch.arange(32, dtype=torch.uint8).expand(10_000, 1, 1, 32)
    share = (flip()(gradient, draws(10_000))[:, 0, 0, 0] == 31).float().mean()
    assert abs(share - 0.5) < 4 * math.sqrt(0.25 / 10_000)


def test_cutouts_area_has_the_mean_that_clipping_leaves():
    count = 10_000
    white = torch.full((count, 3, 32, 32), 255, dtype=torch.uint8)
    area = (cutout(dataset=DATASET)(white, draws(count))[:, 0] != 255).sum((1, 2)).double()
    # A side [c - 8, c + 8) clipped to [0, 32), for c = 0 ... 31; both sides are independent.
    side = np.array([min(c + 8, 32) - max(c - 8, 0) for c in range(32)], dtype=float)
    mean, variance = side.mean() ** 2, (side**2).mean() ** 2 - side.mean() ** 4
    assert abs(area.mean() - mean) < 4 * math.sqrt(variance / count)


@pytest.mark.parametrize(
    ("make", "parameter", "message"),
    [
        (lambda: pad_crop(padding=-1), "padding", "is -1; expected at least 0"),
        (lambda: pad_crop(mode="edge"), "mode", "is 'edge'; expected 'reflect' or 'zero'"),
        (lambda: pad_crop(offsets=0), "offsets", "is 0; expected at least 1 or None"),
        (lambda: pad_crop(padding=2, offsets=6), "offsets", "is 6; expected 1 to 5"),
        (lambda: flip(p=1.5), "p", "is 1.5; expected 0 to 1"),
        (lambda: flip(p=math.nan), "p", "is nan; expected 0 to 1"),
        (lambda: cutout(size=0), "size", "is 0; expected at least 1"),
        (lambda: cutout(p=-0.1), "p", "is -0.1; expected 0 to 1"),
        (lambda: cutout(fill="grey"), "fill", "is 'grey'; expected 'mean' or 'zero'"),
        (lambda: cutout(per="epoch"), "per", "is 'epoch'; expected 'sample' or 'batch'"),
        (normalize, "mean", "is None and no dataset tells it; expected numbers"),
        (lambda: normalize(mean=MEAN), "std", "is None and no dataset tells it"),
        (lambda: normalize(mean=[0.5], std=STD), "mean", r"is \[0.5\]; expected three numbers"),
        (
            lambda: normalize(mean=[125.3, 123.0, 113.9], std=STD),
            "mean",
            r"is \[125.3, 123.0, 113.9\]; expected three numbers, 0 to 1, of pixels",
        ),
        (
            lambda: normalize(mean=MEAN, std=[0.2, 0.0, 0.2]),
            "std",
            r"is \[0.2, 0.0, 0.2\]; expected three numbers, above 0 to 1, of pixels",
        ),
        (lambda: normalize(mean=MEAN, std=[0.2, math.nan, 0.2]), "std", "expected three numbers"),
    ],
)
def test_values_out_of_range_are_refused_in_words(make, parameter, message):
    with pytest.raises(ConfigError, match=message) as error:
        make()
    assert error.value.parameter == parameter


def test_reflecting_more_than_the_image_is_refused():
    with pytest.raises(ConfigError, match="padding is 32; expected less than the images' 32 pix"):
        pad_crop(padding=32)(images_of(2), draws(2))


def test_cutout_of_pixel_values_with_an_unknown_mean_is_refused():
    with pytest.raises(ConfigError, match="fill is 'mean' of an unknown dataset; put cutout after"):
        cutout()(images_of(2), draws(2))
