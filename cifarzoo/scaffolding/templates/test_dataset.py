"""Tests of my_dataset: what cifarzoo relies on, and what is its own."""

import cifarzoo.testing
import numpy as np
import pytest
from cifarzoo.errors import ConfigError

from my_dataset import my_dataset

test_contract = cifarzoo.testing.contract(
    "my_dataset",
    plugin="my_dataset.py",
    set={"my_dataset.train_images": 24, "my_dataset.test_images": 8},
)


def test_its_mean_and_standard_deviation_are_those_of_its_images():
    dataset = my_dataset(None, train_images=1000, test_images=4)
    train, _ = dataset.load()

    pixels = train.images / 255
    np.testing.assert_allclose(pixels.mean((0, 2, 3)), dataset.mean, atol=0.01)
    np.testing.assert_allclose(pixels.std((0, 2, 3)), dataset.std, atol=0.01)


def test_it_refuses_what_is_out_of_range():
    with pytest.raises(ConfigError, match="train_images is 0; expected at least 1"):
        my_dataset(None, train_images=0)
