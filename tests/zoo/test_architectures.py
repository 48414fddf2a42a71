"""The networks are the published ones: sizes, order, variants, and what they do with their port."""

from __future__ import annotations

import inspect
from dataclasses import fields
from functools import partial
from typing import Any, get_args, get_type_hints

import pytest
import torch
from torch import nn

from cifarzoo.layers.batch_norm import BatchNorm2d
from cifarzoo.protocols import Regularizer, Site
from cifarzoo.zoo.architectures.named import (
    pyramid,
    resnet8,
    resnet18,
    resnet20,
    wrn26_2,
    wrn26_6_ss,
    wrn26_10,
)
from cifarzoo.zoo.architectures.residual import pyramidnet as pyramids
from cifarzoo.zoo.architectures.residual.blocks import SHORTCUTS
from cifarzoo.zoo.architectures.residual.pyramidnet import pyramidnet
from cifarzoo.zoo.architectures.residual.resnet import resnet
from cifarzoo.zoo.architectures.residual.shake_resnet import shake_resnet
from cifarzoo.zoo.architectures.residual.wide_resnet import wide_resnet
from cifarzoo.zoo.layers.conventions import torch_layers
from cifarzoo.zoo.layers.initialisers import INITIALISERS
from cifarzoo.zoo.layers.padding import PADDINGS, SameConv2d
from cifarzoo.zoo.regularizers.branch.shake_drop import shake_drop
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake
from cifarzoo.zoo.regularizers.branch.stochastic_depth import stochastic_depth
from tests.small_networks import FAMILIES, VARIANTS, Factory, build, count, layers, small

PAPER_WIDE = partial(wide_resnet, variant="paper")
PAPER_SHAKE = partial(shake_resnet, variant="paper")
PAPER_PYRAMID = partial(pyramidnet, variant="paper")


@pytest.mark.parametrize(
    ("factory", "classes", "expected"),
    [
        (wrn26_10, 10, 38_557_770),
        (wrn26_10, 100, 38_615_460),
        (wrn26_2, 10, 1_555_658),
        (wrn26_2, 100, 1_567_268),
        (wrn26_6_ss, 10, 26_953_898),
        (wrn26_6_ss, 100, 26_988_548),
        (resnet18, 10, 11_173_962),
        (resnet18, 100, 11_220_132),
        (pyramid, 10, 26_109_432),
        (pyramid, 100, 26_187_282),
        (partial(pyramidnet, channel_rounding="round"), 10, 26_274_098),
        (partial(PAPER_WIDE, blocks_per_group=6, widen_factor=2), 10, 2_243_546),
        (partial(PAPER_WIDE, blocks_per_group=2, widen_factor=8), 10, 10_961_370),
        (partial(PAPER_SHAKE, widen_factor=7), 10, 35_640_442),
        (partial(PAPER_PYRAMID, depth=200, alpha=240.0), 10, 26_752_702),
    ],
)
def test_networks_have_the_published_number_of_parameters(
    factory: Factory, classes: int, expected: int
):
    with torch.device("meta"):
        assert count(build(factory, classes=classes)) == expected


@pytest.mark.parametrize("depth", [20, 32, 110])
def test_a_resnet_has_the_parameters_that_its_layers_add_up_to(depth: int):
    blocks = (depth - 2) // 6
    convs = 3 * 16 * 9 + sum(2 * blocks * 9 * w * w for w in (16, 32, 64)) - 9 * (32 * 16 + 64 * 32)
    norms = 2 * 16 + sum(2 * blocks * 2 * w for w in (16, 32, 64))
    with torch.device("meta"):
        assert count(build(resnet, depth=depth)) == convs + norms + 64 * 10 + 10
        assert count(build(resnet20)) == 269_722


def test_resnet8_is_small_and_its_first_stride_changes_no_weight():
    assert count(build(resnet8)) == count(build(resnet8, stem_stride=1)) == 78_042
    images = torch.randn(1, 3, 32, 32)
    assert [build(resnet8, stem_stride=s).stem(images).shape[-1] for s in (1, 2)] == [32, 16]


def test_pyramid_widths_are_the_originals_with_its_rounding_errors():
    flax = pyramids.block_widths(200.0, 90, pyramids.truncated)
    assert flax[:10] == [18, 20, 22, 24, 27, 29, 31, 33, 35, 38]
    assert flax[-3:] == [211, 213, 216]
    exact = [16 + 200 * (i + 1) // 90 for i in range(90)]
    assert [i for i in range(90) if flax[i] != exact[i]] == [8, 17]


@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_layers_are_registered_in_the_order_in_which_they_run(family: Factory, variant: str):
    model, order = small(family, variant=variant), []
    for layer in layers(model):
        layer.register_forward_hook(lambda module, *_: order.append(module))
    model(torch.randn(2, 3, 32, 32))
    assert order == layers(model)


@pytest.mark.parametrize(("family", "variant"), VARIANTS)
@pytest.mark.parametrize(
    "regularizers",
    [[stochastic_depth()], [shake_shake()], [shake_drop()], [shake_shake(), shake_drop()]],
    ids=lambda regularizers: "+".join(type(r).__name__ for r in regularizers),
)
def test_every_branch_regularizer_trains_every_family(
    family: Factory, variant: str, regularizers: list[Regularizer]
):
    if family is shake_resnet and regularizers[0].num_paths == 1:
        regularizers = [shake_shake(), *regularizers]
    settings = {"final_norm": True} if family is wide_resnet else {}
    model = small(family, *regularizers, variant=variant, **settings)
    model(torch.randn(4, 3, 32, 32)).square().mean().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_are_numbered_from_one_in_the_order_in_which_they_run(family: Factory):
    sites: list[Site] = []

    class Listener(Regularizer):
        def branch(self, site: Site) -> None:
            sites.append(site)

    deeper = {pyramidnet: {"depth": 20}, resnet: {"depth": 14}}
    small(family, shake_shake(), Listener(), **deeper.get(family, {"blocks_per_group": 2}))
    assert [site.index for site in sites] == [1, 2, 3, 4, 5, 6]
    assert {site.total for site in sites} == {6}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_merging_regularizer_doubles_the_paths_and_nothing_else(family: Factory):
    one_path = small(family) if family is not shake_resnet else None
    model = small(family, shake_shake())
    paths = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == 2]
    assert len(paths) == 3
    if one_path:
        assert count(model) == count(one_path) + sum(count(pair[1]) for pair in paths)


@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_memory_format_and_image_size_are_free(family: Factory, variant: str):
    model = small(family, variant=variant).double().eval()
    images = torch.randn(2, 3, 36, 48, dtype=torch.float64)
    expected = model(images)
    channels_last = torch.channels_last
    actual = model.to(memory_format=channels_last)(images.to(memory_format=channels_last))
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("family", "module"), FAMILIES.items())
def test_a_family_has_an_argument_for_each_part_of_a_variant(family: Factory, module: Any):
    parameters = inspect.signature(family).parameters
    parts = {field.name for field in fields(module.Variant)}
    defaults = {name: parameters[name].default for name in parameters if name in parts}
    assert defaults == dict.fromkeys(parts)


@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_channels_of_images_change_the_first_convolution_alone(family: Factory, variant: str):
    grey, coloured = (small(family, variant=variant, in_channels=channels) for channels in (1, 3))
    assert grey(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    shapes = [{k: t.shape for k, t in model.state_dict().items()} for model in (grey, coloured)]
    assert {k for k in shapes[0] if shapes[0][k] != shapes[1][k]} == {"stem.conv.weight"}


def words(function: Any, name: str) -> set[str]:
    """The texts that an annotation admits."""
    hint = get_type_hints(function)[name]
    literals = [hint, *get_args(hint)]
    return {word for literal in literals for word in get_args(literal) if type(word) is str}


@pytest.mark.parametrize(("family", "module"), FAMILIES.items())
def test_the_words_that_an_annotation_admits_are_those_with_a_meaning(family: Factory, module: Any):
    assert words(family, "variant") == set(module.VARIANTS)
    for name, table in {"shortcut_input": "SHARES", "channel_rounding": "ROUNDINGS"}.items():
        if hasattr(module, table):
            assert words(family, name) == set(getattr(module, table))
    if "shortcut" in get_type_hints(family):
        assert words(family, "shortcut") <= set(getattr(module, "PATHS", SHORTCUTS))


def test_the_words_for_layers_are_those_with_a_meaning():
    assert words(torch_layers, "padding") == set(PADDINGS)
    assert words(torch_layers, "conv_init") == words(torch_layers, "dense_init")
    assert words(torch_layers, "conv_init") == set(INITIALISERS)


@pytest.mark.parametrize(
    ("family", "change"),
    [
        (wide_resnet, {"conv_bias": False}),
        (wide_resnet, {"bn_momentum": 0.3}),
        (pyramidnet, {"bn_eps": 1e-3}),
        (resnet, {"bn_unbiased": False}),
        (shake_resnet, {"padding": "symmetric"}),
        (shake_resnet, {"stem_norm": True}),
        (wide_resnet, {"final_norm": True}),
        (resnet, {"shortcut": "conv1x1"}),
    ],
)
def test_one_change_changes_what_it_names(family: Factory, change: dict[str, Any]):
    def facts(model: nn.Module) -> dict[str, Any]:
        found, norm = layers(model), next(m for m in model.modules() if isinstance(m, BatchNorm2d))
        return {
            "conv_bias": found[0].bias is not None,
            "bn_momentum": norm.momentum,
            "bn_eps": norm.eps,
            "bn_unbiased": norm.unbiased,
            "padding": "same" if any(isinstance(m, SameConv2d) for m in found) else "symmetric",
            "stem_norm": hasattr(model.stem, "norm"),
            "final_norm": sum(isinstance(m, BatchNorm2d) for m in found),
            "shortcut": "conv1x1" if any(has_kernel(m, 1) for m in found) else "other",
        }

    is_structural = change.keys() <= inspect.signature(family).parameters.keys()
    first, *_ = FAMILIES[family].VARIANTS.values()
    settings = change if is_structural else {"layers": partial(first.layers, **change)}
    before, after = facts(small(family)), facts(small(family, **settings))
    (name,) = change
    expected = {"final_norm": before["final_norm"] + 3} if name == "final_norm" else change
    changed = {key: value for key, value in after.items() if value != before[key]}
    assert expected.items() <= changed.items()
    assert changed.keys() <= {name, "final_norm"}  # more norms where there are more layers


def has_kernel(module: nn.Module, size: int) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size == (size, size)
