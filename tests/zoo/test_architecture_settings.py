"""Settings and regularizers that a network can't have are refused in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Regularizer
from cifarzoo.zoo.architectures.named import resnet18, shake29_2x4x64d, wrn26_6_ss
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.resnet import resnet
from cifarzoo.zoo.architectures.residual.shake_resnet import shake_resnet
from cifarzoo.zoo.architectures.residual.wide_resnet import wide_resnet
from cifarzoo.zoo.regularizers.branch.shake_drop import shake_drop
from cifarzoo.zoo.regularizers.branch.stochastic_depth import stochastic_depth
from tests.small_networks import Factory, small


@pytest.mark.parametrize("make", [shake_resnet, wrn26_6_ss, shake29_2x4x64d])
@pytest.mark.parametrize("regularizers", [[], [stochastic_depth()]])
def test_a_network_of_parallel_paths_needs_a_regularizer_that_merges_them(
    make: Factory, regularizers: Sequence[Regularizer]
):
    message = r"merges parallel residual paths; write run.regularizers = \[@shake_shake\]"
    with pytest.raises(ConfigError, match=message):
        make(10, ResidualPort(regularizers))


def test_a_wide_resnet_without_final_norm_refuses_shake_drop():
    with pytest.raises(ConfigError, match="see whether it has a final_norm"):
        small(wide_resnet, shake_drop())


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        (wide_resnet, {"blocks_per_group": 0}, "blocks_per_group is 0; expected at least 1"),
        (wide_resnet, {"widen_factor": -2}, "widen_factor is -2; expected at least 1"),
        (wide_resnet, {"dropout_rate": 1.0}, "dropout_rate is 1.0; expected 0 to below 1"),
        (wide_resnet, {"dropout_rate": -0.1}, "dropout_rate is -0.1; expected 0 to below 1"),
        (wide_resnet, {"variant": "flax"}, "variant is 'flax'; expected 'flax2020', 'p"),
        (wide_resnet, {"shortcut": "two_path"}, "shortcut is 'two_path'; expected 'conv3"),
        (wide_resnet, {"shortcut_input": "x"}, "shortcut_input is 'x'; expected 'raw'"),
        (shake_resnet, {"blocks_per_group": -1}, "blocks_per_group is -1; expected at least 1"),
        (shake_resnet, {"shortcut": "pool_pad"}, "shortcut is 'pool_pad'; expected 'conv"),
        (pyramidnet, {"depth": 111}, r"depth is 111; expected 9 n \+ 2, such as 110 or 119"),
        (pyramidnet, {"depth": 2}, r"depth is 2; expected 9 n \+ 2, such as 11 or 20"),
        (pyramidnet, {"block": "basic", "depth": 21}, r"depth is 21; expected 6 n \+ 2, such as"),
        (pyramidnet, {"block": "wide"}, "block is 'wide'; expected 'bottleneck' or 'basic'"),
        (pyramidnet, {"alpha": -1.0}, "alpha is -1.0; expected a number of at least 0"),
        (pyramidnet, {"alpha": float("inf")}, "alpha is inf; expected a number of at least 0"),
        (pyramidnet, {"channel_rounding": "up"}, "channel_rounding is 'up'; expected 'tr"),
        (resnet, {"depth": 18}, r"depth is 18; expected 6 n \+ 2, such as 14 or 20"),
        (resnet, {"width": 0}, "width is 0; expected at least 1"),
        (resnet18, {"width": 0}, "width is 0; expected at least 1"),
        (resnet, {"stem_stride": 0}, "stem_stride is 0; expected at least 1"),
        (resnet, {"num_groups": 0}, "num_groups is 0; expected at least 1"),
        (resnet, {"num_groups": 4}, r"depth is 8; expected 8 n \+ 2, such as 10 or 18"),
        (resnet, {"layers": "paper"}, "layers is 'paper'; expected a component of kind layers, or"),
        (
            resnet,
            {"layers": dict},
            r"dict: gives \{\} \(dict\); expected an object with conv, n",
        ),
        (resnet, {"shortcut": "A"}, "shortcut is 'A'; expected 'subsample_pad', 'conv1x1'"),
    ],
)
def test_settings_that_no_such_network_has_are_refused(
    family: Factory, settings: dict[str, Any], message: str
):
    with pytest.raises(ConfigError, match=message):
        small(family, **settings)
