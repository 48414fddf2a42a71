"""Tests of my_loss: what cifarzoo relies on, and what is its own."""

import cifarzoo.testing
import pytest
import torch
from cifarzoo.errors import ConfigError
from torch.nn import functional as F

from my_loss import my_loss

test_contract = cifarzoo.testing.contract("my_loss", plugin="my_loss.py")


def test_it_is_torchs_cross_entropy_of_divided_logits():
    logits, targets = torch.randn(6, 10), torch.rand(6, 10).softmax(1)

    losses = my_loss(temperature=2.0)(logits, targets)

    torch.testing.assert_close(losses, F.cross_entropy(logits / 2, targets, reduction="none"))


def test_it_refuses_what_is_out_of_range():
    with pytest.raises(ConfigError, match=r"temperature is 0\.0; expected a number above 0"):
        my_loss(temperature=0.0)
