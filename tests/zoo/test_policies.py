"""What policies share, and two of them, against torchvision's functions, image by image."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
import torchvision.transforms.v2.functional as tv

from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Dataset
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.augmentations.policies.auto_augment import auto_augment
from cifarzoo.zoo.augmentations.policies.rand_augment import rand_augment
from cifarzoo.zoo.augmentations.policies.space import OPERATIONS, apply_each
from cifarzoo.zoo.augmentations.policies.trivial_augment import trivial_augment_wide

BINS = 31
GREY = Dataset(title="", classes="ab", mean=(0.5,) * 3, std=(0.5,) * 3, load=lambda: None)
BLENDS = {"color", "contrast", "sharpness"}
SIGNED = {*OPERATIONS[:5], "brightness", *BLENDS}
SPACES = {
    "rand_augment": rand_augment().space(32, 32),
    "trivial_augment_wide": trivial_augment_wide().space,
}
POLICIES = [
    rand_augment(),
    trivial_augment_wide(),
    auto_augment(),
    auto_augment(policy="code", ranges="autoaugment", fill="mean", dataset=GREY),
]
# Magnitudes at the strongest level, as the documents of the two torchvision classes have them.
STRONGEST = {
    "rand_augment": {"shear": 0.3, "translate": 150 / 331 * 32, "rotate": 30.0, "posterize": 4},
    "trivial_augment_wide": {"shear": 0.99, "translate": 32.0, "rotate": 135.0, "posterize": 6},
}
ENHANCE = {"rand_augment": 0.9, "trivial_augment_wide": 0.99}
MAY_ROUND_TWICE = torch.backends.cpu.get_cpu_capability() == "DEFAULT"
same_to_the_pixel = pytest.mark.skipif(
    MAY_ROUND_TWICE, reason="torchvision's blends may be 1 off on CPUs without AVX2"
)


def images_of(count):
    """Noise, dark noise, greys, two values, and one value."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), generator=rng, dtype=torch.uint8)
    images[1::6] //= 4
    images[2::6] = images[2::6, :1]
    images[3::6] = images[3::6] // 128 * 90 + 40
    images[4::6] = images[4::6, :, :1, :1]
    return images.contiguous(memory_format=torch.channels_last)


def draws(count, *, part=slice(None)):
    return BatchDraws(generator(3, "policy"), count, part=part)


def magnitude_of(operation, level, is_negative, policy):
    """torchvision's magnitude, as the float that it makes of an entry of a float32 tensor."""
    kind = operation.partition("_")[0]
    if kind == "posterize":
        return int((8 - torch.tensor(level) / (30 / STRONGEST[policy][kind])).round())
    if kind == "solarize":
        return 255 * float(torch.linspace(1, 0, BINS)[level])
    strongest = STRONGEST[policy].get(kind, ENHANCE[policy])
    magnitude = float(torch.linspace(0, strongest, BINS)[level])
    return -magnitude if is_negative and operation in SIGNED else magnitude


def theirs(image, operation, magnitude):
    """What torchvision's RandAugment and TrivialAugmentWide do to an image."""
    degrees = math.degrees(math.atan(magnitude))
    plain = {"angle": 0.0, "scale": 1.0, "translate": [0, 0], "shear": [0.0, 0.0]}
    apply = {
        "identity": lambda: image,
        "shear_x": lambda: tv.affine(image, **plain | {"shear": [degrees, 0.0]}, center=[0, 0]),
        "shear_y": lambda: tv.affine(image, **plain | {"shear": [0.0, degrees]}, center=[0, 0]),
        "translate_x": lambda: tv.affine(image, **plain | {"translate": [int(magnitude), 0]}),
        "translate_y": lambda: tv.affine(image, **plain | {"translate": [0, int(magnitude)]}),
        "rotate": lambda: tv.rotate(image, magnitude),
        "brightness": lambda: tv.adjust_brightness(image, 1.0 + magnitude),
        "color": lambda: tv.adjust_saturation(image, 1.0 + magnitude),
        "contrast": lambda: tv.adjust_contrast(image, 1.0 + magnitude),
        "sharpness": lambda: tv.adjust_sharpness(image, 1.0 + magnitude),
        "posterize": lambda: tv.posterize(image, magnitude),
        "solarize": lambda: tv.solarize(image, magnitude),
        "autocontrast": lambda: tv.autocontrast(image),
        "equalize": lambda: tv.equalize(image),
    }
    return apply[operation]()


@pytest.mark.parametrize("policy", SPACES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_torchvisions_at_every_magnitude_and_sign(policy, operation):
    images, space = images_of(12), SPACES[policy]
    number = torch.full((12,), OPERATIONS.index(operation))
    for level in range(0, BINS, 5 if operation in SIGNED else 3):
        for is_negative in (False, True):
            column = space.column(torch.full((12,), level), torch.tensor(is_negative))
            found = apply_each(images, number, column, space)
            magnitude = magnitude_of(operation, level, is_negative, policy)
            for image, row in zip(images.contiguous(), found, strict=True):
                expected = theirs(image, operation, magnitude)
                difference = (row.int() - expected.int()).abs().max()
                assert difference <= (MAY_ROUND_TWICE and operation in BLENDS)


def test_shears_that_lie_halfway_between_pixels_go_to_torchvisions_side():
    images, space = images_of(2 * BINS), SPACES["rand_augment"]  # a tenth of a pixel a line
    for operation in ("shear_x", "shear_y"):
        number = torch.full((2 * BINS,), OPERATIONS.index(operation))
        found = apply_each(images, number, torch.arange(2 * BINS), space)
        for column, (image, row) in enumerate(zip(images.contiguous(), found, strict=True)):
            level, is_negative = column % BINS, column >= BINS
            magnitude = magnitude_of(operation, level, is_negative, "rand_augment")
            assert torch.equal(row, theirs(image, operation, magnitude))


@same_to_the_pixel
def test_trivial_augment_gives_each_image_the_operation_and_magnitude_of_its_own_draws():
    images, same_draws = images_of(200), draws(200)
    drawn = same_draws.integers(14), same_draws.integers(BINS), same_draws.bernoulli(0.5)

    found = trivial_augment_wide()(images, draws(200))

    for image, row, number, level, is_negative in zip(
        images.contiguous(), found, *drawn, strict=True
    ):
        operation = OPERATIONS[number]
        magnitude = magnitude_of(operation, int(level), is_negative, "trivial_augment_wide")
        assert torch.equal(row, theirs(image, operation, magnitude))


@same_to_the_pixel
@pytest.mark.parametrize(("num_ops", "magnitude"), [(1, 30), (2, 9), (3, 14)])
def test_rand_augment_applies_its_operations_one_after_another(num_ops, magnitude):
    images, same_draws = images_of(100), draws(100)

    found = rand_augment(num_ops=num_ops, magnitude=magnitude)(images, draws(100))

    expected = list(images.contiguous())
    for _ in range(num_ops):
        drawn = same_draws.integers(14), same_draws.bernoulli(0.5)
        for row, (number, is_negative) in enumerate(zip(*drawn, strict=True)):
            operation = OPERATIONS[number]
            amount = magnitude_of(operation, magnitude, is_negative, "rand_augment")
            expected[row] = theirs(expected[row], operation, amount)
    assert torch.equal(found, torch.stack(expected))


@same_to_the_pixel
def test_operations_are_equally_likely_and_half_of_the_signs_are_negative():
    count, image = 14_000, images_of(1) // 8 * 7
    outcomes = {
        theirs(image[0], name, magnitude_of(name, 9, is_negative, "rand_augment"))
        .contiguous()
        .numpy()
        .tobytes(): 1 / 28 if name in SIGNED else 1 / 14
        for name in OPERATIONS
        for is_negative in (False, True)
    }
    assert sum(outcomes.values()) == pytest.approx(1)  # all are told apart

    found = rand_augment(num_ops=1)(image.expand(count, -1, -1, -1), draws(count))

    counts = Counter(row.tobytes() for row in found.contiguous().numpy())
    for outcome, p in outcomes.items():
        assert abs(counts[outcome] - count * p) < 4 * math.sqrt(count * p * (1 - p))


@pytest.mark.parametrize("policy", POLICIES)
def test_ranks_together_augment_as_one_process_does(policy):
    images = images_of(64)
    whole = policy(images, draws(64))
    parts = [slice(0, 3), slice(3, 32), slice(32, 64)]
    pieces = [policy(images[part], draws(64, part=part)) for part in parts]
    assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_memory_format_changes_no_pixel_and_the_input_stays(policy):
    images, untouched = images_of(64), images_of(64)
    found = policy(images, draws(64))
    assert torch.equal(policy(images.contiguous(), draws(64)), found)
    assert torch.equal(images, untouched)
    assert found.is_contiguous(memory_format=torch.channels_last)


@same_to_the_pixel
def test_images_that_are_not_square_are_torchvisions_too():
    images = images_of(70)[:, :, :20]
    operation = torch.arange(70) % 14
    level, is_negative = torch.arange(70) % BINS, torch.arange(70) % 2 == 0
    space = SPACES["trivial_augment_wide"]

    found = apply_each(images, operation, space.column(level, is_negative), space)

    for row, image in enumerate(images.contiguous()):
        name = OPERATIONS[operation[row]]
        amount = magnitude_of(name, int(level[row]), is_negative[row], "trivial_augment_wide")
        assert torch.equal(found[row], theirs(image, name, amount))


@pytest.mark.parametrize(
    ("make", "parameter", "message"),
    [
        (lambda: rand_augment(num_ops=0), "num_ops", "is 0; expected at least 1"),
        (lambda: rand_augment(magnitude=31), "magnitude", "is 31; expected 0 to 30"),
        (lambda: rand_augment(magnitude=-1), "magnitude", "is -1; expected at least 0"),
        (
            lambda: rand_augment(num_magnitude_bins=1, magnitude=0),
            "num_magnitude_bins",
            "is 1; expected at least 2",
        ),
        (
            lambda: trivial_augment_wide(num_magnitude_bins=1),
            "num_magnitude_bins",
            "is 1; expected at least 2",
        ),
    ],
)
def test_values_out_of_range_are_refused_in_words(make, parameter, message):
    with pytest.raises(ConfigError, match=message) as error:
        make()
    assert error.value.parameter == parameter


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_after_normalize_is_refused_in_words(policy):
    floats = normalize(mean=[0.5] * 3, std=[0.5] * 3)(images_of(2))
    with pytest.raises(ConfigError, match="comes after normalize; it needs pixel values, so put"):
        policy(floats, draws(2))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_gpu_is_not_waited_for(policy):
    """On a device that holds no numbers, whatever waits for one raises."""
    images = torch.zeros(8, 3, 32, 32, dtype=torch.uint8, device="meta")

    found = policy(images, BatchDraws(generator(0), 8, device="meta"))

    assert found.device.type == "meta"
    assert found.shape == images.shape
