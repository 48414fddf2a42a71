"""Settings by which a paper's network becomes that of a published code."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cifarzoo import create_model
from cifarzoo.errors import ConfigError
from cifarzoo.layers.dropout import Dropout


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize(("stride_at", "strides"), [("first", [2, 1]), ("second", [1, 2])])
def test_a_block_of_a_wide_resnet_halves_the_image_where_a_code_has_it(stride_at, strides):
    settings = {"blocks_per_group": 1, "widen_factor": 1, "shortcut_input": "raw"}
    network = create_model("wide_resnet", stride_at=stride_at, variant="paper", **settings)
    second_block = convolutions(network)[3:5]  # behind the stem and a block without a shortcut
    assert [conv.stride[0] for conv in second_block] == strides


@pytest.mark.parametrize(
    ("stride_at", "strides"), {"first": [2, 1, 1], "second": [1, 2, 1], None: [1, 2, 1]}.items()
)
def test_a_bottleneck_of_a_pre_activation_resnet_halves_the_image_where_a_code_has_it(
    stride_at, strides
):
    network = create_model("preact_resnet", depth=11, width=4, stride_at=stride_at)
    second_block = convolutions(network)[5:8]  # behind the stem, and three and a shortcut
    assert [conv.stride[0] for conv in second_block] == strides


def test_basic_blocks_have_no_choice_of_a_convolution_that_halves():
    message = r"stride_at is 'first', but basic blocks halve .* preact_resnet\.block = 'bottleneck'"
    with pytest.raises(ConfigError, match=message):
        create_model("preact_resnet", depth=8, block="basic", stride_at="first")


def test_shortcuts_of_stochastic_depth_are_means_of_pixels_and_channels_of_zeros():
    network = create_model("resnet", depth=8, width=4, shortcut="pool_pad").eval()
    for conv in convolutions(network):
        nn.init.zeros_(conv.weight)  # so that residual branches are 0
    x = torch.randn(2, 4, 8, 8)

    halved = network.blocks[1][0](x)

    torch.testing.assert_close(halved[:, :4], F.avg_pool2d(x, 2).relu())
    assert not halved[:, 4:].any()


def test_a_densenet_drops_activations_behind_every_convolution_but_the_first():
    network = create_model("densenet", depth=16, growth_rate=4, dropout_rate=0.2)
    kinds = [
        type(module) for module in network.modules() if isinstance(module, nn.Conv2d | Dropout)
    ]
    assert kinds[0] is kinds[1] is nn.Conv2d  # the stem, and the first layer
    assert [kind is Dropout for kind in kinds[1:]] == [False, True] * (len(kinds) // 2)


@pytest.mark.parametrize("size", [1, 3])
def test_a_resnext_begins_with_kernels_of_the_size_of_a_code(size):
    network = create_model("resnext", depth=11, cardinality=2, stem_kernel_size=size)
    assert network.stem.conv.weight.shape == (64, 3, size, size)
    assert network.stem(torch.randn(1, 3, 32, 32)).shape == (1, 64, 32, 32)
