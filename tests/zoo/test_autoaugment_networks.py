"""The networks of AutoAugment's code, computed a second time with plain functions of torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.engine.device.compiling import blocks
from cifarzoo.errors import ConfigError
from cifarzoo.randomness.injection import inject
from cifarzoo.zoo.architectures.residual import shake_resnet as shakes
from cifarzoo.zoo.architectures.residual.blocks import BlockPlan, add_shortcut
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.shake_resnet import shake_resnet
from cifarzoo.zoo.architectures.residual.wide_resnet import wide_resnet
from cifarzoo.zoo.layers.conventions import autoaugment_layers, paper_layers
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake
from tests.small_networks import normalised


def network(family: Any, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    port = ResidualPort([shake_shake()] if family is shake_resnet else [])
    return family(10, port, variant="autoaugment", **settings)


def conv3x3(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """As XLA's SAME: an even image halved is padded at the bottom and right alone."""
    before = 1 if stride == 1 else 0
    return F.conv2d(F.pad(x, (before, 1, before, 1)), kernel, stride=stride)


def skip(x: Tensor, channels: int, stride: int, *, split: bool) -> Tensor:
    """The mean over stride by stride pixels, in ``channels`` channels of which some are zeros."""
    images, own, height, width = x.shape
    cells = x.reshape(images, own, height // stride, stride, width // stride, stride)
    before = (channels - own) // 2 if split else 0
    wide = x.new_zeros(images, channels, height // stride, width // stride)
    wide[:, before : before + own] = cells.mean((3, 5))
    return wide


def wide_logits(p: dict[str, Tensor], x: Tensor, *, split: bool, extra_skips: bool) -> Tensor:
    """A Wide ResNet of two blocks a group and widen factor 3."""
    x = start = conv3x3(x, p["stem.conv.weight"], 1)
    for group, (width, stride) in enumerate([(48, 1), (96, 2), (192, 2)]):
        before_group = x
        for block in range(2):
            name, by = f"blocks.{group}.{block}.residual", stride if block == 0 else 1
            activated = torch.relu(normalised(x))
            past = activated if (group, block) == (0, 0) else x
            y = conv3x3(activated, p[f"{name}.conv1.weight"], by)
            y = conv3x3(torch.relu(normalised(y)), p[f"{name}.conv2.weight"], 1)
            x = y + (past if block else skip(past, width, by, split=split))
        if extra_skips:
            x = x + skip(before_group, width, stride, split=split)
    if extra_skips:
        x = x + skip(start, 192, 4, split=split)
    features = torch.relu(normalised(x)).mean((2, 3))
    return features @ p["head.weight"].T + p["head.bias"]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"channel_padding": "end"},
        {"extra_skips": False},
        {"channel_padding": "end", "extra_skips": False},  # as google-research/sam has it
    ],
)
def test_the_wide_resnet_has_the_logits_and_gradients_of_its_formula(
    changes: dict[str, Any], memory_format: torch.memory_format
):
    model = network(wide_resnet, blocks_per_group=2, widen_factor=3, **changes)
    model = model.double().train().to(memory_format=memory_format)
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    p = dict(model.named_parameters())
    split = changes.get("channel_padding") != "end"

    logits = model(images.to(memory_format=memory_format))
    expected = wide_logits(p, images, split=split, extra_skips=changes.get("extra_skips", True))

    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-11)
    kernels = [tensor for name, tensor in p.items() if tensor.ndim > 1]
    ours = torch.autograd.grad(logits.square().sum(), kernels)
    theirs = torch.autograd.grad(expected.square().sum(), kernels)
    for actual, gradient in zip(ours, theirs, strict=True):
        torch.testing.assert_close(actual, gradient, rtol=0, atol=1e-9 * gradient.abs().max())


def test_the_first_block_is_activated_before_its_shortcut_even_where_that_is_the_identity():
    model = network(wide_resnet, blocks_per_group=1, widen_factor=1, extra_skips=False)
    first = model.blocks[0][0].double().train()
    x = torch.randn(3, 16, 8, 8, dtype=torch.float64)
    nn.init.zeros_(first.residual.conv2.weight)
    torch.testing.assert_close(first(x), torch.relu(normalised(x)), rtol=0, atol=1e-12)


def test_extra_skips_hide_no_block_from_the_compiler_and_rename_no_parameter():
    model, plain = (network(wide_resnet, widen_factor=1, extra_skips=on) for on in (True, False))
    assert len(list(blocks(model))) == 12
    assert list(model.state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize(("missing", "before"), [(6, 3), (5, 2), (1, 0), (0, 0)])
def test_a_split_padding_has_half_of_the_zeros_before(missing: int, before: int):
    residual = torch.randn(2, 3 + missing, 2, 2, dtype=torch.float64, requires_grad=True)
    shortcut = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    padded = F.pad(shortcut, (0, 0, 0, 0, before, missing - before))
    assert torch.equal(add_shortcut(residual, shortcut, "split"), residual + padded)


@pytest.mark.parametrize("padding", ["end", "split"])
def test_a_sum_with_fewer_channels_has_the_gradient_of_a_padded_one(padding: str):
    residual = torch.randn(2, 6, 3, 3, dtype=torch.float64, requires_grad=True)
    shortcut = torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True)

    def total(residual: Tensor, shortcut: Tensor) -> Tensor:
        return add_shortcut(residual, shortcut, padding)

    assert torch.autograd.gradcheck(total, (residual, shortcut))


@pytest.mark.parametrize(
    ("kind", "stride", "rows"),
    [
        ("two_path", 2, [-1, *range(1, 30, 2)]),
        ("two_path_down", 2, [*range(1, 32, 2)]),
        ("two_path", 1, [-1, *range(31)]),
        ("two_path_down", 1, [*range(1, 32), 32]),
    ],
)
def test_the_second_path_sees_rows_and_columns_a_pixel_away(
    kind: str, stride: int, rows: list[int]
):
    plan = BlockPlan(in_channels=1, channels=2, stride=stride, index=1, total=1)
    shortcut = shakes.PATHS[kind](paper_layers(), plan)
    for conv in (shortcut.conv1, shortcut.conv2):
        nn.init.ones_(conv.weight)
    image = torch.randn(1, 1, 32, 32)
    first, second = shortcut(image).unbind(1)
    framed = F.pad(image, (1, 1, 1, 1))[:, 0]  # zeros at -1 and 32
    index = torch.tensor(rows) + 1
    assert torch.equal(first, image[:, 0, ::stride, ::stride])
    assert torch.equal(second, framed[:, index][:, :, index])


def test_a_shake_block_takes_its_shortcut_from_the_raw_input():
    plan = BlockPlan(in_channels=4, channels=6, stride=2, index=1, total=1)
    form, port = shakes.VARIANTS["autoaugment"], ResidualPort([shake_shake()])
    block = shakes.shake_block(autoaugment_layers(), form, plan, port).double().train()
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    p = dict(block.named_parameters())

    def path(name: str) -> Tensor:
        y = conv3x3(torch.relu(x), p[f"{name}.conv1.weight"], 2)
        return normalised(conv3x3(torch.relu(normalised(y)), p[f"{name}.conv2.weight"], 1))

    grids = (("conv1", x[:, :, ::2, ::2]), ("conv2", x[:, :, 1::2, 1::2]))
    halves = [F.conv2d(grid, p[f"shortcut.conv.{name}.weight"]) for name, grid in grids]
    expected = normalised(torch.cat(halves, 1)) + path("residual.paths.1")
    inject(block, [torch.zeros(3), torch.zeros(3)])
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", [wide_resnet, shake_resnet, pyramidnet])
def test_the_classifier_starts_uniform_within_one_over_the_root_of_the_classes(family: Any):
    small = {"depth": 11, "alpha": 8.0} if family is pyramidnet else {"widen_factor": 1}
    head = network(family, **small).head
    # The largest of 640 or more is below 0.98 of the bound once in 0.98^-640 = 400,000 times.
    assert 0.98 * 10**-0.5 < head.weight.abs().max() <= 10**-0.5
    assert not head.bias.any()


def test_a_padding_that_no_shortcut_needs_is_refused():
    message = "channel_padding is 'split', but no shortcut lacks channels; expected it with"
    with pytest.raises(ConfigError, match=message):
        wide_resnet(10, ResidualPort(), widen_factor=1, channel_padding="split")
    with pytest.raises(ConfigError, match="channel_padding is 'both'; expected 'end' or 'sp"):
        network(wide_resnet, channel_padding="both")
