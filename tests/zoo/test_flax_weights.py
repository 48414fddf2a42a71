"""Weights of the original find their places by name, and others are refused in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cifarzoo import flax_weights
from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.errors import DataError
from cifarzoo.protocols import Regularizer
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.wide_resnet import wide_resnet
from cifarzoo.zoo.regularizers.branch.shake_drop import shake_drop
from cifarzoo.zoo.regularizers.branch.stochastic_depth import stochastic_depth
from tests.oracle import Recording

Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def params() -> Arrays:
    return Recording("wrn_n1m1").part("params/")


@pytest.fixture
def state() -> Arrays:
    return Recording("wrn_n1m1").part("state0/")


def wide(*regularizers: Regularizer) -> nn.Module:
    return wide_resnet(10, ResidualPort(regularizers), blocks_per_group=1, widen_factor=1)


def test_kernels_are_turned_into_torchs_layout(params: Arrays, state: Arrays):
    model = wide()
    flax_weights.load(model, params, state)
    kernel = params["WideResnetGroup_1/WideResnetBlock_0/conv1/kernel"]  # (H, W, in, out)
    conv = model.get_submodule("blocks.1.0.residual.conv1")
    assert conv.weight[5, 3, 0, 2].item() == kernel[0, 2, 3, 5]
    assert model.head.weight[7, 20].item() == params["Dense_4/kernel"][20, 7]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_network_keeps_its_dtype(params: Arrays, state: Arrays, dtype: torch.dtype):
    model = wide().to(dtype)
    flax_weights.load(model, params, state)
    kernel = params["Dense_4/kernel"].T.astype(str(dtype).removeprefix("torch."))
    assert model.head.weight.dtype == dtype
    assert np.array_equal(model.head.weight.detach().numpy(), kernel)


def test_a_regularizer_that_adds_modules_moves_no_weight(params: Arrays, state: Arrays):
    plain, regularized = wide().eval(), wide(stochastic_depth(final_drop_prob=0.0)).eval()
    for model in (plain, regularized):
        flax_weights.load(model, params, state)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(plain(images), regularized(images))


def test_a_missing_and_an_unexpected_name_are_both_named(params: Arrays, state: Arrays):
    params["init_bn/scale"] = params.pop("BatchNorm_3/scale")
    message = "last.norm.weight missing from them, init_bn/scale not in ResidualNetwork"
    with pytest.raises(DataError, match=message):
        flax_weights.load(wide(), params, state)


def test_of_many_missing_names_the_first_are_shown(params: Arrays):
    with pytest.raises(DataError, match=r"running_mean, .* and 11 more missing from them, nothing"):
        flax_weights.load(wide(), params, {})


def test_two_names_for_one_place_are_refused(params: Arrays, state: Arrays):
    params["Dense_9/kernel"] = params["Dense_4/kernel"]
    with pytest.raises(DataError, match="nothing missing from them, Dense_4/kernel not in"):
        flax_weights.load(wide(), params, state)


@pytest.mark.parametrize("name", ["init_conv/weight", "Conv_0/kernel", "kernel"])
def test_a_name_that_the_original_never_had_is_refused(params: Arrays, state: Arrays, name: str):
    with pytest.raises(DataError, match=f"no parameter or statistic named '{name}'"):
        flax_weights.load(wide(), {**params, name: np.zeros(3, np.float32)}, state)


def test_another_shape_is_refused_and_nothing_is_loaded(params: Arrays, state: Arrays):
    model = wide()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    params["Dense_4/kernel"] = np.zeros((64, 100), np.float32)
    with pytest.raises(DataError, match=r"Dense_4/kernel is head.weight of \(100, 64\); expected"):
        flax_weights.load(model, params, state)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_a_terabyte_of_another_shape_is_refused_before_it_is_copied(params: Arrays, state: Arrays):
    params["Dense_4/kernel"] = np.broadcast_to(np.float32(0), (500_000, 500_000))
    with pytest.raises(DataError, match=r"Dense_4/kernel is head.weight of \(500000, 500000\)"):
        flax_weights.load(wide(), params, state)


def test_weights_of_another_network_are_refused(params: Arrays, state: Arrays):
    model = pyramidnet(10, ResidualPort([shake_drop()]), depth=11, alpha=8.0)
    with pytest.raises(DataError, match="these weights are of another network"):
        flax_weights.load(model, params, state)
