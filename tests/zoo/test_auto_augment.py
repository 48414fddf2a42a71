"""AutoAugment against torchvision's own class, and as its authors' code has it against PIL."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, v2

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Dataset
from cifarzoo.zoo.augmentations.policies.auto_augment import auto_augment
from cifarzoo.zoo.augmentations.policies.auto_augment_policies import CODE, PAPER, SVHN
from cifarzoo.zoo.augmentations.policies.space import GEOMETRIC, OPERATIONS, apply_each
from tests.zoo.test_policies import SIGNED, draws, images_of, same_to_the_pixel

MEAN = (0.4914, 0.4822, 0.4465)
PIXEL = (125, 123, 114)
DATASET = Dataset(title="none", classes="0123456789", mean=MEAN, std=(0.25,) * 3, load=lambda: None)
WITHOUT_LEVEL = {"autocontrast", "equalize", "invert"}


def their_table(policy=AutoAugmentPolicy.CIFAR10):
    """torchvision's sub-policies, under our names."""
    rows = AutoAugment(policy).policies
    return [
        [(re.sub("(X|Y)$", r"_\1", name).lower(), p, level) for name, p, level in row]
        for row in rows
    ]


def drawn_by(same_draws, num_sub_policies):
    """A sub-policy, two numbers from 0 to 1 and two signs, image by image."""
    number = same_draws.integers(num_sub_policies)
    steps = [(same_draws.uniform(0, 1), same_draws.bernoulli(0.5)) for _ in range(2)]
    u, is_negative = (torch.stack(numbers, 1).tolist() for numbers in zip(*steps, strict=True))
    return zip(number.tolist(), u, is_negative, strict=True)


def torchvisions(image, number, u, is_negative, *, monkeypatch):
    """What torchvision's class makes of an image when it draws these numbers."""

    def drawn():
        for (name, p, _), share, negative in zip(PAPER[number], u, is_negative, strict=True):
            yield share
            if share <= p and name in SIGNED:
                yield 0.0 if negative else 1.0

    numbers = drawn()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randint", lambda *_: number)
        patch.setattr(torch, "rand", lambda _: next(numbers))
        changed = v2.AutoAugment(AutoAugmentPolicy.CIFAR10)(image)
    assert next(numbers, None) is None  # all are used
    return changed


@pytest.mark.parametrize(
    ("ours", "theirs"), [(PAPER, AutoAugmentPolicy.CIFAR10), (SVHN, AutoAugmentPolicy.SVHN)]
)
def test_the_papers_sub_policies_are_torchvisions_row_by_row(ours, theirs):
    found = [
        [(name, p, None if name in WITHOUT_LEVEL else level) for name, p, level in row]
        for row in ours
    ]
    assert found == their_table(theirs)


@same_to_the_pixel
def test_each_image_is_changed_as_torchvisions_class_does_with_the_same_draws(monkeypatch):
    images = images_of(400)

    found = auto_augment()(images, draws(400))

    drawn = drawn_by(draws(400), 25)
    for image, row, numbers in zip(images.contiguous(), found, drawn, strict=True):
        assert torch.equal(row, torchvisions(image, *numbers, monkeypatch=monkeypatch))


@same_to_the_pixel
def test_outcomes_are_as_likely_as_torchvisions_table_says(monkeypatch):
    count, image = 20_000, images_of(1)[0].contiguous() // 8 * 7
    likely = defaultdict(float)
    two = list(itertools.product((False, True), repeat=2))
    for (number, row), applied, signs in itertools.product(enumerate(their_table()), two, two):
        u = [0.0 if is_applied else 1.0 for is_applied in applied]
        outcome = torchvisions(image, number, u, signs, monkeypatch=monkeypatch)
        shares = [
            p if is_applied else 1 - p for (_, p, _), is_applied in zip(row, applied, strict=True)
        ]
        likely[outcome.contiguous().numpy().tobytes()] += math.prod(shares) / 25 / 4

    found = auto_augment()(image.expand(count, -1, -1, -1), draws(count))

    counts = Counter(row.tobytes() for row in found.contiguous().numpy())
    assert counts.keys() <= likely.keys()
    for outcome, p in likely.items():
        assert abs(counts[outcome] - count * p) <= 4 * math.sqrt(count * p * (1 - p))


def pil(image, name, level, is_negative):
    """An operation of the authors' code for CIFAR: PIL's, on RGBA, with its own magnitudes."""
    sign = -1 if is_negative else 1
    shear, shift = sign * 0.03 * level, -sign * level

    def of_colours(change, *arguments):
        return change(image.convert("RGB"), *arguments).convert("RGBA")

    def moved(*matrix):
        return image.transform(image.size, Image.Transform.AFFINE, matrix)

    def enhanced(enhancer):
        return enhancer(image).enhance(0.18 * level + 0.1)

    apply = {
        "shear_x": lambda: moved(1, shear, 0, 0, 1, 0),
        "shear_y": lambda: moved(1, 0, 0, shear, 1, 0),
        "translate_x": lambda: moved(1, 0, shift, 0, 1, 0),
        "translate_y": lambda: moved(1, 0, 0, 0, 1, shift),
        "rotate": lambda: image.rotate(sign * 3 * level),
        "brightness": lambda: enhanced(ImageEnhance.Brightness),
        "color": lambda: enhanced(ImageEnhance.Color),
        "contrast": lambda: enhanced(ImageEnhance.Contrast),
        "sharpness": lambda: enhanced(ImageEnhance.Sharpness),
        "posterize": lambda: of_colours(ImageOps.posterize, 4 - int(level * 4 / 10)),
        "solarize": lambda: of_colours(ImageOps.solarize, 256 - int(level * 256 / 10)),
        "invert": lambda: of_colours(ImageOps.invert),
        "autocontrast": lambda: of_colours(ImageOps.autocontrast),
        "equalize": lambda: of_colours(ImageOps.equalize),
        "cutout": lambda: image,
    }
    return apply[name]()


def rgba(image):
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).convert("RGBA")


def differences(image, row):
    """The largest difference of a pixel's colours, and whether its opacity is another (H, W)."""
    theirs, ours = np.array(image, dtype=int), row.permute(1, 2, 0).numpy().astype(int)
    difference = np.abs(theirs - ours)
    return difference[..., :3].max(-1), difference[..., 3:].any(-1)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "identity"])
def test_an_operation_in_the_ranges_of_the_authors_code_is_pils_at_every_level(operation):
    images, space = images_of(12), auto_augment(ranges="autoaugment").space(32, 32)
    opaque = torch.cat([images, torch.full_like(images[:, :1], 255)], 1)
    number = torch.full((12,), OPERATIONS.index(operation))
    for level, is_negative in itertools.product(range(10), (False, True)):
        column = space.column(torch.full((12,), level), torch.tensor(is_negative))
        found = apply_each(opaque, number, column, space)
        for image, row in zip(images, found, strict=True):
            colours, opacity = differences(pil(rgba(image), operation, level, is_negative), row)
            # A source that lies halfway between two pixels may go to the other side: at most
            # half of the pixels of a line in sixteen.
            halfway = 16 if operation in GEOMETRIC else 0
            assert (colours > 1).sum() <= halfway
            assert opacity.sum() <= halfway


@pytest.mark.parametrize(("policy", "table"), [("paper", PAPER), ("code", CODE)])
def test_the_authors_variant_is_pils_with_the_mean_where_the_end_is_transparent(policy, table):
    images = images_of(1000)
    augment = auto_augment(policy=policy, ranges="autoaugment", fill="mean", dataset=DATASET)

    found = augment(images, draws(1000))

    shares = []
    for image, row, drawn in zip(images, found, drawn_by(draws(1000), len(table)), strict=True):
        number, *numbers = drawn
        changed = rgba(image)
        for (name, p, level), u, is_negative in zip(table[number], *numbers, strict=True):
            if u < p:
                changed = pil(changed, name, level, is_negative)
        filled = np.array(changed)
        filled[filled[..., 3] == 0, :3] = PIXEL
        colours, _ = differences(filled, torch.cat([row, row[:1]]))
        shares.append((colours > 2).mean())
    # The rest: sources halfway between pixels, and equalize after what was rounded otherwise.
    assert np.mean(np.equal(shares, 0)) > 0.98
    assert np.mean(shares) < 0.001


def test_the_code_draws_from_95_sub_policies_with_twenty_of_the_papers():
    assert len(CODE) == 95
    assert sum(row in CODE for row in PAPER) == 20
    steps = itertools.chain(*CODE)
    known = {*OPERATIONS, "invert", "cutout"}
    assert all(name in known and 0 <= p <= 1 and level in range(10) for name, p, level in steps)


@pytest.mark.parametrize(
    ("settings", "parameter", "message"),
    [
        ({"policy": "cifar10"}, "policy", "is 'cifar10'; expected 'paper', 'code' or 'svhn'"),
        ({"ranges": "pil"}, "ranges", "is 'pil'; expected 'torchvision' or 'autoaugment'"),
        ({"fill": "black"}, "fill", "is 'black'; expected 'zero' or 'mean'"),
        ({"fill": "mean"}, "fill", "is 'mean' of an unknown dataset; pass dataset"),
    ],
)
def test_settings_that_do_not_exist_are_refused_in_words(settings, parameter, message):
    with pytest.raises(ConfigError, match=message) as error:
        auto_augment(**settings)
    assert error.value.parameter == parameter
