"""Tests of my_augmentation: what cifarzoo relies on, and what is its own."""

import cifarzoo.testing
import pytest
import torch
from cifarzoo.errors import ConfigError

from my_augmentation import my_augmentation

test_contract = cifarzoo.testing.contract("my_augmentation", plugin="my_augmentation.py")


def test_each_image_is_multiplied_by_its_own_factor():
    images = torch.randint(256, (8, 3, 4, 4), dtype=torch.uint8)

    changed = my_augmentation(strength=0.4)(images, cifarzoo.draws(0, len(images)))

    factors = cifarzoo.draws(0, len(images)).uniform(0.6, 1)
    for image, factor, given in zip(images, factors, changed, strict=True):
        assert torch.equal(given, (image * factor).round().to(torch.uint8))


def test_it_refuses_what_is_out_of_range():
    with pytest.raises(ConfigError, match=r"strength is 1\.5; expected 0 to 1"):
        my_augmentation(strength=1.5)
