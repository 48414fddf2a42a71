"""Tests of my_layers: what cifarzoo relies on, and what is its own."""

import cifarzoo.testing
import pytest
import torch
from cifarzoo.errors import ConfigError

from my_layers import my_layers

test_contract = cifarzoo.testing.contract("my_layers", plugin="my_layers.py")


def test_an_image_is_normalised_by_itself():
    norm, features = my_layers(num_groups=8).norm(16), torch.randn(4, 16, 5, 5)

    together, alone = norm(features), norm(features[:1])

    torch.testing.assert_close(together[:1], alone)
    assert norm.num_groups == 8


def test_it_refuses_what_is_out_of_range():
    with pytest.raises(ConfigError, match="num_groups is 0; expected at least 1"):
        my_layers(num_groups=0)
