"""Erasing, jitter, resized crops and 3-Augment against torchvision, row by row, and statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from cifarzoo.errors import ConfigError
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.zoo.augmentations.color_jitter import ORDERS, color_jitter
from cifarzoo.zoo.augmentations.operations import colors
from cifarzoo.zoo.augmentations.operations.boxes import Boxes
from cifarzoo.zoo.augmentations.policies.three_augment import three_augment
from cifarzoo.zoo.augmentations.random_erasing import random_erasing
from cifarzoo.zoo.augmentations.random_resized_crop import random_resized_crop, resized
from cifarzoo.zoo.datasets.glyphs import glyphs

SIGMAS = 4


def pictures(n=64, height=32, width=32):
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.integers(0, 256, (n, 3, height, width), dtype=np.uint8))
    noise[: n // 2] = TF.gaussian_blur(noise[: n // 2], [7, 7], [2.0, 2.0])
    noise[0], noise[1, :, :, :] = 255, 0
    return noise


def draws(step=0, n=64):
    return BatchDraws(generator(0, "augmentation", step), n)


def largest_difference(found, expected):
    return int((found.int() - expected.int()).abs().max())


def test_hues_are_torchvisions_row_by_row():
    images = pictures()
    shifts = torch.linspace(-0.5, 0.5, len(images))
    found = colors.hue(images, shifts)
    for row, image, shift in zip(found, images, shifts.tolist(), strict=True):
        assert largest_difference(row, TF.adjust_hue(image, shift)) <= 1


def test_grey_is_torchvisions():
    images = pictures()
    assert torch.equal(colors.grayscale(images), TF.rgb_to_grayscale(images, 3))


@pytest.mark.parametrize("kernel_size", [3, 9])
def test_blurs_are_torchvisions_row_by_row(kernel_size):
    images = pictures()
    sigmas = torch.linspace(0.1, 2.0, len(images))
    found = colors.gaussian_blur(images, sigmas, kernel_size=kernel_size)
    for row, image, sigma in zip(found, images, sigmas.tolist(), strict=True):
        expected = TF.gaussian_blur(image, [kernel_size] * 2, [sigma] * 2)
        assert largest_difference(row, expected) <= 1


def test_jitter_is_its_four_changes_in_the_drawn_order():
    images, record = pictures(), Recorded(draws())
    found = color_jitter(brightness=0.3, contrast=0.2, saturation=0.5, hue=0.1)(images, record)
    order, factors = ORDERS[int(record.numbers[0][0])], record.numbers[1:]
    expected = images
    for number in order:
        change = (colors.brightness, colors.contrast, colors.color, colors.hue)[number]
        expected = change(expected, factors[number])
    assert torch.equal(found, expected)
    ranges = [(0.7, 1.3), (0.8, 1.2), (0.5, 1.5), (-0.1, 0.1)]
    for numbers, (low, high) in zip(factors, ranges, strict=True):
        assert low <= numbers.min() < numbers.max() <= high


class Recorded:
    """Draws that keep what they gave, in its order."""

    def __init__(self, inner):
        self.inner, self.numbers = inner, []

    @property
    def on_cpu(self):
        return self

    def uniform(self, *args, **kwargs):
        return self._kept(self.inner.uniform(*args, **kwargs))

    def integers(self, *args, **kwargs):
        return self._kept(self.inner.integers(*args, **kwargs))

    def bernoulli(self, *args, **kwargs):
        return self._kept(self.inner.bernoulli(*args, **kwargs))

    def _kept(self, numbers):
        self.numbers.append(numbers)
        return numbers


def test_a_strength_of_0_leaves_what_it_is_of():
    images = pictures()
    found = color_jitter(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.2)(images, draws())
    assert not torch.equal(found, images)
    assert torch.equal(found.amax(1), images.amax(1))  # a hue alone changes no value


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 28)])
def test_boxes_are_stretched_as_torchvision_does(height, width):
    images = pictures(40, height, width)
    rng = np.random.default_rng(1)
    tall, wide = rng.integers(1, height + 1, 40), rng.integers(1, width + 1, 40)
    top = (rng.random(40) * (height - tall + 1)).astype(int)
    left = (rng.random(40) * (width - wide + 1)).astype(int)
    ends = map(torch.from_numpy, (top, top + tall, left, left + wide))
    boxes = Boxes(**dict(zip(("top", "bottom", "left", "right"), ends, strict=True)))
    for batch, tolerance in ((images, 1), (images.double(), 1e-3)):
        found = resized(batch, boxes)
        for i, row in enumerate(found):
            box = (int(top[i]), int(left[i]), int(tall[i]), int(wide[i]))
            expected = TF.resized_crop(
                batch[i], *box, [height, width], InterpolationMode.BILINEAR, antialias=False
            )
            assert (row.double() - expected.double()).abs().max() <= tolerance


def areas_and_ratios(n=20000):
    """Of the boxes that are filled, and whether an image has one."""
    images = torch.full((n, 1, 64, 64), 7.0)
    erased = random_erasing(p=0.3, area=(0.1, 0.2), ratio=(0.5, 2.0))(images, draws(3, n)) == 0
    rows = erased.any(3).sum((1, 2)).double()
    columns = erased.any(2).sum((1, 2)).double()
    assert torch.equal(erased.sum((1, 2, 3)).double(), rows * columns)  # a rectangle
    is_erased = rows > 0
    return (rows * columns / 64**2)[is_erased], (rows / columns)[is_erased], is_erased


def test_rectangles_have_the_drawn_shares_and_shapes():
    area, ratio, is_erased = areas_and_ratios()
    n = len(is_erased)
    assert abs(is_erased.double().mean() - 0.3) < SIGMAS * math.sqrt(0.3 * 0.7 / n)
    # Uniform from 0.1 to 0.2, but for sides in whole pixels.
    assert abs(area.mean() - 0.15) < SIGMAS * area.std() / math.sqrt(len(area)) + 1e-4
    assert area.min() > 0.095
    assert area.max() < 0.21
    assert abs(ratio.log().mean()) < SIGMAS * ratio.log().std() / math.sqrt(len(ratio))
    assert ratio.min() > 0.48
    assert ratio.max() < 2.1


def test_an_image_too_small_for_its_rectangles_has_none():
    images = torch.ones(50, 1, 8, 8)
    found = random_erasing(p=1.0, area=(1.0, 1.0), ratio=(4.0, 4.0))(images, draws(0, 50))
    assert torch.equal(found, images)


def test_erased_pixels_are_the_datasets_mean_or_0():
    dataset = glyphs(None)
    images = pictures()
    erase = {"p": 1.0, "area": (0.3, 0.3), "ratio": (1.0, 1.0)}
    for fill, pixel in (("mean", [round(255 * m) for m in dataset.mean]), ("zero", [0, 0, 0])):
        found = random_erasing(**erase, fill=fill, dataset=dataset)(images, draws())
        is_changed = (found != images).any(1)
        values = found.permute(0, 2, 3, 1)[is_changed]
        assert torch.equal(values, torch.tensor(pixel, dtype=torch.uint8).expand_as(values))
    with pytest.raises(ConfigError, match="fill is 'mean' of an unknown dataset; put random_eras"):
        random_erasing()(images, draws())


def test_a_crop_has_the_drawn_share_of_the_image():
    """A ramp shows which columns a box had; its width is that of its area and its ratio."""
    n = 5000
    ramp = torch.arange(64.0).expand(n, 1, 64, 64)
    found = random_resized_crop(area=(0.25, 0.25), ratio=(0.5, 2.0))(ramp, draws(1, n))
    wide = (found[:, 0, 0, -1] - found[:, 0, 0, 0] + 1).double()
    expected = 0.5 * 64 * torch.linspace(math.log(0.5), math.log(2), 10001).exp().sqrt()
    assert abs(wide.mean() - expected.mean()) < SIGMAS * wide.std() / math.sqrt(n) + 0.05
    assert 0.5 * 64 * math.sqrt(0.5) - 1 < wide.min()
    assert wide.max() < 0.5 * 64 * math.sqrt(2) + 1


def test_a_whole_crop_leaves_the_image():
    images = pictures()
    whole = random_resized_crop(area=(1.0, 1.0), ratio=(1.0, 1.0))(images, draws())
    assert torch.equal(whole, images)


def test_each_of_the_three_is_as_likely_and_itself():
    n = 3000
    images = pictures(n)
    record = Recorded(draws(2, n))
    found = three_augment(color_jitter=0.0)(images, record)
    choice, sigma = record.numbers
    threshold = torch.full_like(sigma, 128.0)
    expected = (
        colors.grayscale(images),
        colors.solarize(images, threshold),
        colors.gaussian_blur(images, sigma, kernel_size=9),
    )
    for number, changed in enumerate(expected):
        rows = choice == number
        assert torch.equal(found[rows], changed[rows])
        share = rows.double().mean()
        assert abs(share - 1 / 3) < SIGMAS * math.sqrt(2 / 9 / n)


@pytest.mark.parametrize("make", [color_jitter, three_augment])
def test_floats_and_grey_images_are_refused(make):
    with pytest.raises(ConfigError, match="comes after normalize; it needs pixel values"):
        make()(pictures().float(), draws())
    with pytest.raises(ConfigError, match="expected images of 3 channels"):
        make()(pictures()[:, :1], draws())


@pytest.mark.parametrize(
    ("make", "parameter", "message"),
    [
        (lambda: random_erasing(p=1.5), "p", "is 1.5; expected 0 to 1"),
        (lambda: random_erasing(area=(0.4, 0.1)), "area", "expected two numbers, the lower one"),
        (lambda: random_erasing(ratio=(0.0, 1.0)), "ratio", r"\[0\] is 0.0; expected a number ab"),
        (lambda: random_erasing(fill="noise"), "fill", "is 'noise'; expected 'mean' or 'zero'"),
        (lambda: color_jitter(hue=0.6), "hue", "is 0.6; expected 0 to 0.5"),
        (lambda: color_jitter(contrast=-1.0), "contrast", "is -1.0; expected a number of at least"),
        (
            lambda: color_jitter(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0),
            "brightness",
            "is 0, as the others are; expected one above 0",
        ),
        (lambda: random_resized_crop(area=(0.0, 1.0)), "area", r"\[0\] is 0.0; expected above 0"),
        (lambda: random_resized_crop(ratio=(2.0, 1.0)), "ratio", "expected two numbers, the low"),
        (lambda: three_augment(color_jitter=-0.1), "color_jitter", "is -0.1; expected a number"),
    ],
)
def test_settings_out_of_range_are_refused(make, parameter, message):
    with pytest.raises(ConfigError, match=message) as error:
        make()
    assert error.value.parameter == parameter
