"""Tests of my_architecture: what cifarzoo relies on, and what is its own."""

import cifarzoo.testing
import pytest
from cifarzoo.errors import ConfigError

from my_architecture import my_architecture

test_contract = cifarzoo.testing.contract(
    "my_architecture", plugin="my_architecture.py", set={"my_architecture.width": 8}
)


def plain(make_path, _site):
    """The residual port of a run without regularizers."""
    return make_path()


def test_it_has_the_parameters_that_its_sizes_tell():
    width, depth = 8, 2
    model = my_architecture(10, plain, width=width, num_blocks=depth)

    norm, conv = 2 * width, 9 * width * width
    expected = 48 * width + norm + depth * 2 * (conv + norm) + (width + 1) * 10
    assert sum(p.numel() for p in model.parameters()) == expected


def test_it_refuses_what_is_out_of_range():
    with pytest.raises(ConfigError, match="width is 0; expected at least 1"):
        my_architecture(10, plain, width=0)
