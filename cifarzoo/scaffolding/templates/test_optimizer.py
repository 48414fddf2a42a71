"""Tests of my_optimizer: what cifarzoo relies on, and what is its own."""

import cifarzoo.testing
import pytest
import torch
from cifarzoo.errors import ConfigError

from my_optimizer import my_optimizer

test_contract = cifarzoo.testing.contract("my_optimizer", plugin="my_optimizer.py")


def test_without_decay_it_is_torchs_sgd():
    ours, theirs = (torch.nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in range(2))
    own = my_optimizer([{"params": [ours]}], lr=0.1, momentum=0.8, weight_decay=0.0)
    sgd = torch.optim.SGD([theirs], lr=0.1, momentum=0.8)

    for gradient in torch.randn(5, 3, dtype=torch.float64):
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        own.step()
        sgd.step()

    torch.testing.assert_close(ours, theirs)


def test_it_refuses_what_is_out_of_range():
    with pytest.raises(ConfigError, match=r"lr is 0\.0; expected a number above 0"):
        my_optimizer([torch.nn.Parameter(torch.ones(3))], lr=0.0)
