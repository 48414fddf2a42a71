"""Transformers and ConvNeXt against torch's and torchvision's modules, with the same weights."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.vision_transformer import EncoderBlock

from cifarzoo import create_model
from cifarzoo.errors import ConfigError
from cifarzoo.zoo.architectures.attention.encoder import Attention, encoder
from cifarzoo.zoo.regularizers.branch.stochastic_depth import stochastic_depth

K = 10


def fill(ours, theirs):
    """Random weights in both, parameter by parameter; ``ours`` in the order of ``theirs``."""
    torch.manual_seed(0)
    with torch.no_grad():
        for mine, its in zip(ours, theirs, strict=True):
            its.normal_(0, 0.2)
            mine.copy_(its.view_as(mine))


def plain_port(make_path, _site):
    return make_path()


def test_attention_is_torchs_own():
    ours = Attention(12, 3, qkv_bias=True).double()
    theirs = nn.MultiheadAttention(12, 3, batch_first=True).double()
    fill(ours.parameters(), theirs.parameters())
    x = torch.randn(2, 12, 4, 5, dtype=torch.float64)
    tokens = x.flatten(2).transpose(1, 2)
    expected, _ = theirs(tokens, tokens, tokens)
    torch.testing.assert_close(ours(x), expected.transpose(1, 2).view_as(x))


def test_an_encoder_is_torchvisions_blocks():
    ours = encoder(plain_port, dim=12, depth=2, num_heads=3, mlp_ratio=2.0).double()
    theirs = nn.Sequential(
        *(EncoderBlock(3, 12, 24, 0.0, 0.0, partial(nn.LayerNorm, eps=1e-6)) for _ in range(2))
    ).double()
    fill(ours.parameters(), theirs.parameters())
    x = torch.randn(2, 12, 4, 5, dtype=torch.float64)
    expected = theirs(x.flatten(2).transpose(1, 2)).transpose(1, 2).view_as(x)
    torch.testing.assert_close(ours(x), expected)


def test_a_convnext_is_torchvisions_with_smaller_patches():
    ours = create_model("convnext", widths=(8, 16), blocks=(2, 1)).double()
    setting = [CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 1)]
    theirs = ConvNeXt(setting, stochastic_depth_prob=0.0, num_classes=K)
    theirs.features[0][0] = nn.Conv2d(3, 8, 2, 2)
    theirs = theirs.double()
    # torchvision has a block's scale before its layers.
    mine = sorted(ours.named_parameters(), key=lambda item: block_of(item[0]))
    fill([p for _, p in mine], theirs.parameters())
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(ours(images), theirs(images))


def block_of(name):
    stage, _, rest = name.partition(".residual.")
    place = {"stem": 0, "blocks": 1, "norm": 2, "head": 3}[name.partition(".")[0]]
    return place, [int(n) for n in stage.split(".") if n.isdigit()], not rest.startswith("scale")


@pytest.mark.parametrize(("name", "parameters"), [("cct", 3_760_139), ("vit", 2_697_226)])
def test_sizes_are_the_papers(name, parameters):
    """3.76 million in table 1 of Hassani et al.; 2.8 with a token and its biases in Lee et al."""
    model = create_model(name)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_cct_weighs_its_tokens():
    model = create_model("cct", dim=16, depth=1, num_heads=2).double().eval()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    features = model.norm(model.blocks(model.tokenizer(images) + model.positions))
    tokens = features.flatten(2).transpose(1, 2)
    scores = torch.einsum("ntd,d->nt", tokens, model.weigh.weight[0]) + model.weigh.bias
    weights = scores.exp() / scores.exp().sum(1, keepdim=True)
    expected = model.head(torch.einsum("nt,ntd->nd", weights, tokens))
    torch.testing.assert_close(model(images), expected)


@pytest.mark.parametrize("name", ["vit", "cct"])
def test_a_transformer_whose_branches_are_all_dropped_passes_its_tokens_on(name):
    drop = stochastic_depth(final_drop_prob=1.0, decay="uniform")
    model = create_model(name, regularizers=[drop], dim=16, num_heads=2, depth=2).eval()
    images = torch.randn(2, 3, 32, 32)
    tokens = (model.patches if name == "vit" else model.tokenizer)(images) + model.positions
    assert torch.equal(model.blocks(tokens), tokens)


@pytest.mark.parametrize("name", ["vit", "cct"])
def test_positions_are_spared_from_decay(name):
    assert create_model(name).no_weight_decay() == {"positions"}


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("vit", {"num_heads": 5}, "num_heads is 5; expected a divisor of 192"),
        ("vit", {"patch_size": 5}, "patch_size is 5; expected a divisor of the images' 32 x 32"),
        ("cct", {"kernel_size": 4}, "kernel_size is 4; expected an odd number"),
        ("cct", {"num_convs": 6}, "num_convs is 6, which halve the images' 32 x 32 pixels; exp"),
        ("convnext", {"blocks": (3, 3)}, r"blocks is \[3, 3\]; expected a number for each of 3 w"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        create_model(name, **settings)
