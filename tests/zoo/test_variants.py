"""Each variant's parameters and what is decayed of them, counted from the papers' layers.

The counts share no code with the zoo. A layer here is a list of its parameters, each of a kind
(``kernel``, ``bias`` or ``norm``) and a number of values.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.engine.assembly.weight_decay import POLICIES, count, split
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.shake_resnet import shake_resnet
from cifarzoo.zoo.architectures.residual.wide_resnet import wide_resnet
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake

Parameters = list[tuple[str, int]]
WIDE_28_10 = {"blocks_per_group": 4, "widen_factor": 10}
SHAKE_26_96 = {"blocks_per_group": 4, "widen_factor": 6}
PYRAMID_272 = {"depth": 272, "alpha": 200.0}
DECAYED = {
    "all": {"kernel", "bias", "norm"},
    "kernels": {"kernel"},
    "flax2020": {"kernel", "norm"},
    "no_norm_bias": {"kernel"},
}


def conv(size: int, inputs: int, outputs: int, *, bias: bool = False) -> Parameters:
    return [("kernel", size * size * inputs * outputs), *([("bias", outputs)] if bias else [])]


def norms(*channels: int) -> Parameters:
    return [("norm", width) for width in channels for _ in ("scale", "shift")]


def dense(inputs: int, classes: int) -> Parameters:
    return [("kernel", inputs * classes), ("bias", classes)]


def block_shapes(blocks: int, widen: int) -> list[tuple[int, int]]:
    """Channels into and out of each block of three groups."""
    outputs = [16 * 2**group * widen for group in range(3) for _ in range(blocks)]
    return list(pairwise([16, *outputs]))


def wide_parameters(variant: str, classes: int, blocks_per_group: int, widen_factor: int):
    bias = variant == "flax2020"
    shortcut_size = {"flax2020": 3, "paper": 1, "autoaugment": None}[variant]
    found = conv(3, 3, 16, bias=bias)
    for a, b in block_shapes(blocks_per_group, widen_factor):
        found += norms(a, b) + conv(3, a, b, bias=bias) + conv(3, b, b, bias=bias)
        if a != b and shortcut_size:
            found += conv(shortcut_size, a, b, bias=bias)
    return found + norms(64 * widen_factor) + dense(64 * widen_factor, classes)


def shake_parameters(variant: str, classes: int, blocks_per_group: int, widen_factor: int):
    bias = variant == "flax2020"
    found = conv(3, 3, 16, bias=bias) + ([] if bias else norms(16))
    for a, b in block_shapes(blocks_per_group, widen_factor):
        found += 2 * (conv(3, a, b, bias=bias) + conv(3, b, b, bias=bias) + norms(b, b))
        if a != b:
            found += conv(3, a, b, bias=True) if bias else 2 * conv(1, a, b // 2)
            found += norms(b)
    return found + dense(64 * widen_factor, classes)


def pyramid_parameters(
    variant: str, classes: int, depth: int, alpha: float, block: str = "bottleneck"
):
    bias = variant == "flax2020"
    blocks = (depth - 2) // (3 if block == "bottleneck" else 2)
    exact = np.cumsum([16.0, *[alpha / blocks] * blocks])[1:]
    widths = np.floor(exact if bias else exact + 0.5).astype(int).tolist()
    found, a = conv(3, 3, 16, bias=bias) + norms(16), 16
    for width in widths:
        if block == "bottleneck":
            found += norms(a, width, width, 4 * width) + conv(1, a, width, bias=bias)
            found += conv(3, width, width, bias=bias) + conv(1, width, 4 * width, bias=bias)
        else:
            found += norms(a, width, width)
            found += conv(3, a, width, bias=bias) + conv(3, width, width, bias=bias)
        a = 4 * width if block == "bottleneck" else width
    return found + norms(a) + dense(a, classes)


SECOND: dict[Callable[..., nn.Module], Callable[..., Parameters]] = {
    wide_resnet: wide_parameters,
    shake_resnet: shake_parameters,
    pyramidnet: pyramid_parameters,
}


@pytest.mark.parametrize(
    ("family", "settings", "variant", "published"),
    [
        (wide_resnet, WIDE_28_10, "flax2020", (38_557_770, 38_615_460)),
        (wide_resnet, WIDE_28_10, "paper", (36_479_194, 36_536_884)),
        (wide_resnet, WIDE_28_10, "autoaugment", (36_220_634, 36_278_324)),
        (shake_resnet, SHAKE_26_96, "flax2020", (26_953_898, 26_988_548)),
        (shake_resnet, SHAKE_26_96, "paper", (26_192_922, 26_227_572)),
        (shake_resnet, SHAKE_26_96, "autoaugment", (26_192_922, 26_227_572)),
        (pyramidnet, PYRAMID_272, "flax2020", (26_109_432, 26_187_282)),
        (pyramidnet, PYRAMID_272, "paper", (26_210_842, 26_288_692)),
        (pyramidnet, PYRAMID_272, "autoaugment", (26_210_842, 26_288_692)),
        (pyramidnet, {"depth": 110, "alpha": 84.0, "block": "basic"}, "paper", (3_904_446, None)),
    ],
)
def test_a_variant_has_the_published_parameters_and_each_policy_decays_its_kinds(
    family: Callable[..., nn.Module],
    settings: dict[str, Any],
    variant: str,
    published: tuple[int, int | None],
):
    for classes, total in zip((10, 100), published, strict=True):
        port = ResidualPort([shake_shake()] if family is shake_resnet else [])
        with torch.device("meta"):
            model = family(classes, port, variant=variant, **settings)
        parameters = SECOND[family](variant, classes, **settings)
        assert total in (None, sum(values for _, values in parameters))
        for policy in POLICIES:
            decayed = [values for kind, values in parameters if kind in DECAYED[policy]]
            coverage = split(model, policy)
            assert (len(coverage.decayed), count(coverage.decayed)) == (len(decayed), sum(decayed))
            assert len(coverage.spared) == len(parameters) - len(decayed)


@pytest.mark.parametrize(
    ("family", "settings", "kernels", "biases", "norm_values"),
    [
        (wide_resnet, WIDE_28_10, 38_529_712, 10_106, 17_952),
        (wide_resnet, {"blocks_per_group": 4, "widen_factor": 2}, 1_550_000, 2_042, 3_616),
        (shake_resnet, SHAKE_26_96, 26_919_600, 11_450, 22_848),
        (pyramidnet, PYRAMID_272, 25_836_394, 63_014, 210_024),
    ],
)
def test_the_flax_networks_have_these_kernels_biases_and_norms(
    family: Callable[..., nn.Module],
    settings: dict[str, Any],
    kernels: int,
    biases: int,
    norm_values: int,
):
    parameters = SECOND[family]("flax2020", 10, **settings)
    expected = {"kernel": kernels, "bias": biases, "norm": norm_values}
    assert {kind: sum(v for k, v in parameters if k == kind) for kind in expected} == expected
