"""Branch regularizers that see features: squeeze-and-excitation, and DropBlock."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from cifarzoo import create_model
from cifarzoo.errors import ConfigError
from cifarzoo.layers.dropout import Rows
from cifarzoo.protocols import Site, Timestamp
from cifarzoo.zoo.regularizers.branch.drop_block import (
    BlockDropper,
    drop_block,
    seed_prob,
    without_blocks,
)
from cifarzoo.zoo.regularizers.branch.squeeze_excite import SqueezeExcite, squeeze_excite


def test_squeeze_and_excitation_is_torchvisions():
    ours = SqueezeExcite(8, 2)
    theirs = torchvision.ops.SqueezeExcitation(8, 2)
    with torch.no_grad():
        for layer, conv in ((ours.squeeze, theirs.fc1), (ours.excite, theirs.fc2)):
            conv.weight.copy_(layer.weight[:, :, None, None])
            conv.bias.copy_(layer.bias)
    x = torch.randn(3, 8, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


def test_every_branch_of_a_family_has_its_channels():
    for name, sizes in (
        ("resnet20", [16] * 3 + [32] * 3 + [64] * 3),
        ("resnet50", [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3),
        ("pyramid110_a84", None),
        ("wrn26_2", [32] * 4 + [64] * 4 + [128] * 4),
    ):
        with torch.device("meta"):
            plain = create_model(name)
            model = create_model(name, regularizers=[squeeze_excite(reduction=4)])
        gates = [m for m in model.modules() if isinstance(m, SqueezeExcite)]
        found = [gate.squeeze.in_features for gate in gates]
        assert sizes is None or found == sizes
        added = sum(2 * c * (c // 4) + c // 4 + c for c in found)
        num_plain = sum(p.numel() for p in plain.parameters())
        assert sum(p.numel() for p in model.parameters()) == num_plain + added


def test_channels_that_are_not_known_are_asked_for():
    with pytest.raises(ConfigError, match="needs the number of a residual's channels"):
        squeeze_excite().branch(Site(1, 1))


@pytest.mark.parametrize("block_size", [1, 3, 5])
def test_dropped_blocks_are_the_papers_loop(block_size):
    rng = np.random.default_rng(0)
    x, seeds = rng.standard_normal((4, 3, 9, 8)), (rng.random((4, 3, 9, 8)) < 0.1).astype(float)
    mask = np.ones_like(x)
    margin = block_size // 2
    for n, c, h, w in np.argwhere(seeds == 1):
        if margin <= h < 9 - margin and margin <= w < 8 - margin:
            mask[n, c, h - margin : h + margin + 1, w - margin : w + margin + 1] = 0
    expected = x * mask / mask.mean((1, 2, 3), keepdims=True)
    found = without_blocks(torch.tensor(x), torch.tensor(seeds), block_size)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_seeds_are_equation_1():
    assert seed_prob(0.1, 7, 16, 16) == pytest.approx(0.1 / 49 * 16**2 / (16 - 7 + 1) ** 2)


def test_about_the_wanted_share_is_dropped():
    """Blocks overlap, so that less than ``drop_prob`` is dropped: 1 - (1 - gamma)**9 inside."""
    torch.manual_seed(0)
    dropper = BlockDropper(0.1, 3, is_scheduled=False).train()
    n = 400
    dropper.seeds.rows = Rows(123, 0)
    found = dropper(torch.ones(n, 4, 16, 16))
    inner = (found[:, :, 2:-2, 2:-2] == 0).double().mean((1, 2, 3))
    gamma = round(seed_prob(0.1, 3, 16, 16) * 2**16) / 2**16
    expected = 1 - (1 - gamma) ** 9
    assert abs(inner.mean() - expected) < 4 * inner.std() / math.sqrt(n)


def test_the_share_grows_with_the_run_and_tests_see_all():
    dropper = BlockDropper(0.5, 3, is_scheduled=True).train()
    x = torch.ones(8, 4, 16, 16)
    dropped = []
    for step in (0, 25, 50, 99):
        dropper.begin_step(Timestamp(step, 10, 100))
        dropped.append((dropper(x) == 0).double().mean().item())
    assert dropped[0] == 0
    assert dropped == sorted(dropped)
    assert dropped[-1] > 0.3
    assert torch.equal(dropper.eval()(x), x)


def test_features_smaller_than_a_block_have_one_of_their_size():
    dropper = BlockDropper(0.5, 7, is_scheduled=False).train()
    found = dropper(torch.ones(500, 1, 4, 4))
    assert torch.isfinite(found).all()
    assert 0 < (found == 0).double().mean() < 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: squeeze_excite(reduction=0), "reduction is 0; expected at least 1"),
        (lambda: drop_block(drop_prob=1.0), "drop_prob is 1.0; expected 0 to below 1"),
        (lambda: drop_block(block_size=4), "block_size is 4; expected an odd number"),
        (lambda: drop_block(block_size=0), "block_size is 0; expected at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_both_stand_on_a_networks_branches():
    model = create_model("resnet8", regularizers=[squeeze_excite(), drop_block(scheduled=False)])
    images = torch.randn(4, 3, 32, 32)
    model(images).sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert any(isinstance(m, nn.Dropout) for m in model.modules())
