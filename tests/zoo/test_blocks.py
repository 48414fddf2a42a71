"""Blocks, shortcuts and initialisers equal references in plain torch, or torchvision's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet as torchvision_resnet
from torchvision.models.resnet import BasicBlock

from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.randomness.injection import inject
from cifarzoo.zoo.architectures.named import resnet18
from cifarzoo.zoo.architectures.residual import resnet as resnets
from cifarzoo.zoo.architectures.residual import shake_resnet as shakes
from cifarzoo.zoo.architectures.residual import wide_resnet as wides
from cifarzoo.zoo.architectures.residual.blocks import BlockPlan
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.resnet import resnet
from cifarzoo.zoo.layers.conventions import paper_layers, torch_layers
from cifarzoo.zoo.layers.initialisers import INITIALISERS, TRUNCATED_STD
from cifarzoo.zoo.layers.padding import SameConv2d
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake
from tests.small_networks import build, normalised, small


@pytest.mark.parametrize(("size", "first"), [(32, (0, 0)), (8, (0, 0)), (9, (1, 1))])
def test_same_padding_looks_at_the_pixels_that_xla_looks_at(size: int, first: tuple[int, int]):
    conv = SameConv2d(1, 1, 3, 2, bias=False)
    with torch.no_grad():
        conv.weight.zero_()[0, 0, first[0], first[1]] = 1  # the tap that sees pixel (0, 0) first
    image = torch.randn(1, 1, size, size)
    assert torch.equal(conv(image), image[:, :, ::2, ::2])


def test_a_wide_block_of_the_paper_shares_its_first_activation_with_the_shortcut():
    plan = BlockPlan(in_channels=4, channels=6, stride=2, index=1, total=1)
    form = wides.VARIANTS["paper"]
    block = wides.wide_block(paper_layers(), form, plan, ResidualPort(), dropout_rate=0.0)
    block = block.double().train()
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    activated = torch.relu(normalised(x))
    p = dict(block.named_parameters())

    residual = F.conv2d(activated, p["residual.conv1.weight"], stride=2, padding=1)
    residual = F.conv2d(torch.relu(normalised(residual)), p["residual.conv2.weight"], padding=1)
    expected = residual + F.conv2d(activated, p["shortcut.conv.weight"], stride=2)

    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)


def test_a_shake_block_of_the_paper_activates_paths_and_shortcut_each_for_itself():
    plan = BlockPlan(in_channels=4, channels=6, stride=2, index=1, total=1)
    form, port = shakes.VARIANTS["paper"], ResidualPort([shake_shake()])
    block = shakes.shake_block(paper_layers(), form, plan, port)
    block = block.double().train()
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    p = dict(block.named_parameters())

    def path(name: str) -> Tensor:
        y = F.conv2d(torch.relu(x), p[f"{name}.conv1.weight"], stride=2, padding=1)
        y = F.conv2d(torch.relu(normalised(y)), p[f"{name}.conv2.weight"], padding=1)
        return normalised(y)

    shifted = F.pad(x, (1, 0, 1, 0))[:, :, :-1, :-1]
    grids = (("conv1", x), ("conv2", shifted))
    halves = [
        F.conv2d(torch.relu(grid), p[f"shortcut.conv.{name}.weight"], stride=2)
        for name, grid in grids
    ]
    expected = normalised(torch.cat(halves, 1)) + path("residual.paths.1")
    inject(block, [torch.zeros(3), torch.zeros(3)])
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)


def test_a_resnet_block_equals_torchvisions():
    plan = BlockPlan(in_channels=4, channels=8, stride=2, index=1, total=1)
    ours = resnets.plain_block(torch_layers(), resnets.VARIANTS["torch"], plan, ResidualPort())
    projection = nn.Sequential(nn.Conv2d(4, 8, 1, 2, bias=False), nn.BatchNorm2d(8))
    theirs = BasicBlock(4, 8, 2, projection)
    tensors = ours.state_dict().values()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), tensors, strict=True)))
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-6)


def test_resnet18_equals_torchvisions_behind_a_small_stem():
    theirs = torchvision_resnet.resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    theirs.maxpool = nn.Identity()
    ours = build(resnet18)
    assert [p.numel() for p in ours.parameters()] == [p.numel() for p in theirs.parameters()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.randn(4, 3, 32, 32)

    for mode in (True, False):
        outputs = ours.train(mode)(images), theirs.train(mode)(images)
        torch.testing.assert_close(*outputs, rtol=0, atol=1e-5)


def test_option_a_subsamples_and_appends_zero_channels():
    model = small(resnet)
    x = torch.randn(2, 16, 8, 8)
    shortcut = model.blocks[1][0].shortcut(x)
    assert torch.equal(shortcut[:, :16], x[:, :, ::2, ::2])
    assert not shortcut[:, 16:].any()


def test_a_pyramid_shortcut_pools_and_the_sum_takes_missing_channels_as_zeros():
    model = small(pyramidnet)
    block = model.blocks[1].eval()
    x = torch.randn(2, 72, 8, 8)

    pooled = x.view(2, 72, 4, 2, 4, 2).mean((3, 5))
    expected = block.residual(x) + F.pad(pooled, (0, 0, 0, 0, 0, 12))

    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "variance", "largest"),
    [
        ("lecun_truncated", 1 / 450, 2 / TRUNCATED_STD / 450**0.5),
        ("he_fan_in", 2 / 450, None),
        ("he_fan_out", 2 / (400 * 9), None),
        ("torch", 1 / (3 * 450), 450**-0.5),
        ("uniform_fan_out", 1 / (3 * 400 * 9), (400 * 9) ** -0.5),
    ],
)
def test_initialisers_have_their_variance_and_range(
    name: str, variance: float, largest: float | None
):
    torch.manual_seed(0)
    kernel = torch.empty(400, 50, 3, 3)
    INITIALISERS[name](kernel)
    # A normal's sample variance has the relative standard error sqrt(2 / n); the others' less.
    assert kernel.var().item() == pytest.approx(variance, rel=4 * (2 / kernel.numel()) ** 0.5)
    assert kernel.mean().abs() < 4 * (variance / kernel.numel()) ** 0.5
    if largest:
        assert 0.99 * largest < kernel.abs().max() <= largest * (1 + 1e-6)
