"""AugMix against algorithm 1 in NumPy, and its magnitudes against torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from cifarzoo.errors import ConfigError
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.zoo.augmentations.policies.augmix import (
    CHOSEN,
    IDENTITY,
    WITH_COLORS,
    augmix,
    space_of,
)
from cifarzoo.zoo.augmentations.policies.space import OPERATIONS, apply_each
from tests.zoo.test_random_crops_and_colors import Recorded, pictures

N = 64


def draws(n=N):
    return BatchDraws(generator(0, "augmix"), n)


def test_magnitudes_are_torchvisions():
    theirs = v2.AugMix()._AUGMENTATION_SPACE
    space = space_of(24, 36)
    for name, ours in (
        ("ShearX", space.signed(space.shear)),
        ("TranslateX", space.signed(space.translate_x)),
        ("TranslateY", space.signed(space.translate_y)),
        ("Rotate", space.signed(space.rotate)),
        ("Posterize", torch.tensor(space.bits)),
        ("Solarize", torch.tensor(space.thresholds)),
        ("Brightness", torch.tensor(space.factors) - 1),
    ):
        expected = torch.as_tensor(theirs[name][0](10, 24, 36))
        if name == "Solarize":
            expected = 255 * expected
        torch.testing.assert_close(ours[:10].double(), expected.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("all_ops", [True, False])
def test_it_is_algorithm_1_with_the_numbers_that_it_draws(all_ops):
    images, record = pictures(N), Recorded(draws())
    found = augmix(severity=4, num_chains=2, max_depth=3, all_ops=all_ops)(images, record)

    numbers = iter(record.numbers)
    waits = [-np.log(1 - next(numbers).numpy().astype(np.float64)) for _ in range(2)]
    m = next(numbers).numpy()
    known = np.array(WITH_COLORS if all_ops else CHOSEN)
    mixed = np.zeros(images.shape)
    for wait in waits:
        chain = images
        depth = 1 + next(numbers).numpy()
        assert set(depth) == {1, 2, 3}
        for number in range(3):
            operation = known[next(numbers).numpy()]
            operation[depth <= number] = IDENTITY
            level, is_negative = next(numbers).numpy(), next(numbers).numpy()
            assert level.max() == 3
            column = torch.from_numpy(level + 10 * is_negative)
            chain = apply_each(chain, torch.from_numpy(operation), column, space_of(32, 32))
        mixed += (wait / sum(waits))[:, None, None, None] * chain.numpy()
    expected = (1 - m)[:, None, None, None] * images.numpy() + m[:, None, None, None] * mixed
    assert np.abs(found.numpy() - expected).max() <= 0.5 + 1e-3
    assert next(numbers, None) is None


def test_chains_have_weights_of_a_flat_dirichlet_distribution():
    """The mean of each is 1/3, and its variance 1/18."""
    n = 20000
    record = Recorded(BatchDraws(generator(1, "weights"), n))
    augmix(max_depth=1, severity=1)(torch.zeros(n, 3, 2, 2, dtype=torch.uint8), record)
    waits = torch.stack([-(1 - u.double()).log() for u in record.numbers[:3]])
    weights = waits / waits.sum(0)
    for weight in weights:
        assert abs(weight.mean() - 1 / 3) < 4 * np.sqrt(1 / 18 / n)
        assert abs(weight.var() - 1 / 18) < 4 * (1 / 18) * np.sqrt(2 / n)


def test_the_papers_operations_are_not_those_of_corruptions():
    names = {OPERATIONS[number] for number in CHOSEN}
    assert not names & {"brightness", "color", "contrast", "sharpness", "identity"}
    assert len(names) == 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"severity": 0}, "severity is 0; expected 1 to 10"),
        ({"num_chains": 0}, "num_chains is 0; expected at least 1"),
        ({"max_depth": 0}, "max_depth is 0; expected at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        augmix(**settings)


def test_floats_are_refused():
    with pytest.raises(ConfigError, match="comes after normalize"):
        augmix()(pictures(N).float(), draws())
