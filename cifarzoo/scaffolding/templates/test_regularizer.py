"""Tests of my_regularizer: what cifarzoo relies on, and what is its own."""

import cifarzoo.testing
import pytest
import torch
from cifarzoo.errors import ConfigError

from my_regularizer import my_regularizer

test_contract = cifarzoo.testing.contract("my_regularizer", plugin="my_regularizer.py")


def test_it_acts_in_training_alone():
    plain = cifarzoo.create_model("resnet8")
    model = cifarzoo.create_model("resnet8", regularizers=my_regularizer(strength=0.5))
    model.load_state_dict(plain.state_dict())
    images = torch.randn(4, 3, 32, 32)

    assert not torch.equal(model(images), plain(images))
    plain.load_state_dict(model.state_dict())  # running statistics too
    assert torch.equal(model.eval()(images), plain.eval()(images))


def test_it_refuses_what_is_out_of_range():
    with pytest.raises(ConfigError, match=r"strength is 1\.5; expected 0 to 1"):
        my_regularizer(strength=1.5)
