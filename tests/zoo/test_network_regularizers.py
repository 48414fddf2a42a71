"""Regularizers around the forward pass against the same by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from cifarzoo.api.creation import create_model
from cifarzoo.errors import ConfigError
from cifarzoo.protocols import Timestamp
from cifarzoo.randomness.batch_draws import BatchDraws
from cifarzoo.randomness.keys import generator
from cifarzoo.zoo.regularizers.network.deep_supervision import deep_supervision
from cifarzoo.zoo.regularizers.network.manifold_mixup import (
    manifold_mixup,
    mixed,
)
from cifarzoo.zoo.regularizers.network.orthogonality import orthogonality, soft_orthogonality
from cifarzoo.zoo.regularizers.network.places import after_thirds

M, K = 6, 10


class Pass:
    """A forward pass as the engine gives it."""

    def __init__(self, model):
        self.model, self.moment, self.companions = model, Timestamp(0, 1, 10), None

    def __call__(self, images, targets):
        return self.model(images), targets, images.new_zeros(())


def batch():
    torch.manual_seed(0)
    return torch.randn(M, 3, 32, 32), torch.eye(K)[:M]


def draws(step):
    return BatchDraws(generator(0, "manifold", step), M)


def test_neighbours_are_mixed_and_an_odd_one_stays():
    values = torch.tensor([[0.0], [10.0], [20.0], [40.0], [80.0]])
    found = mixed(values, torch.full((5,), 0.75))
    assert found.flatten().tolist() == [2.5, 7.5, 25.0, 35.0, 80.0]


def test_each_place_is_drawn_and_mixes_there_and_in_the_targets():
    model = create_model("resnet8").eval()
    images, targets = batch()
    assert after_thirds(model) == ("blocks.0", "blocks.1")
    seen = set()
    for step in range(20):
        logits, aims, penalty = manifold_mixup(alpha=1.0).network(
            Pass(model), images, targets, draws(step)
        )
        numbers = draws(step)
        place = int(numbers.integers(3, per="batch")[0])
        share = numbers.beta(1.0, 1.0, per="batch")
        seen.add(place)

        x = mixed(images, share) if place == 0 else images
        x = model.stem(x)
        for i, block in enumerate(model.blocks, start=1):
            x = block(x)
            x = mixed(x, share) if place == i else x
        expected = model.head(model.last(x).mean((2, 3)))

        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(aims, mixed(targets, share))
        assert penalty == 0
    assert seen == {0, 1, 2}
    assert not any(module._forward_hooks for module in model.modules())


def test_a_module_is_named_and_a_pass_that_fails_leaves_no_hook():
    model = create_model("resnet8")
    failing = SimpleNamespace(model=model, moment=Timestamp(0, 1, 10))
    stage = manifold_mixup(modules=["stem"])

    def broken(_images, _targets):
        raise RuntimeError("lost")

    class Broken(Pass):
        __call__ = staticmethod(broken)

    with pytest.raises(RuntimeError, match="lost"):
        stage.network(Broken(failing.model), *batch(), draws(0))
    assert not model.stem._forward_hooks


@pytest.mark.parametrize("threshold", [0.0, 2.3])
def test_supervised_features_have_the_gradients_of_equation_3(threshold):
    stage = deep_supervision(weight=0.5, threshold=threshold)
    model = create_model("resnet8", regularizers=[stage])
    images, targets = batch()
    passed = Pass(model)
    passed.moment, passed.companions = Timestamp(3, 1, 10), model.companions.deep_supervision
    logits, aims, penalty = stage.network(passed, images, targets, draws(0))
    penalty.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    first = model.blocks[0](model.stem(images))
    second = model.blocks[1](first)
    heads = [p for name, p in model.named_parameters() if "companions" in name]
    expected = 0.0
    for x, weight, bias in ((first, *heads[:2]), (second, *heads[2:])):
        guess = x.mean((2, 3)) @ weight.T + bias
        losses = torch.logsumexp(guess, 1) - (guess * targets).sum(1)
        expected += 0.5 * 0.7 * torch.where(losses > threshold, losses - threshold, 0.0).mean()
    expected.backward()

    assert aims is targets
    assert torch.equal(logits, model(images))
    torch.testing.assert_close(penalty, expected)
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    torch.testing.assert_close(found, grads)
    assert {name.partition(".")[0] for name in grads} == {"stem", "blocks", "companions"}


def test_of_two_blocks_the_first_is_supervised():
    model = nn.Module()
    model.blocks = nn.Sequential(nn.Identity(), nn.Identity())
    assert after_thirds(model) == ("blocks.0",)


def test_soft_orthogonality_is_equation_1_of_the_smaller_side():
    rng = np.random.default_rng(0)
    for shape in ((4, 3, 2, 2), (12, 2, 1, 1), (5, 5)):
        kernel = rng.standard_normal(shape)
        w = kernel.reshape(shape[0], -1)
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        expected = np.linalg.norm(gram - np.eye(len(gram))) ** 2
        assert float(soft_orthogonality(torch.tensor(kernel))) == pytest.approx(expected)
    q, _ = np.linalg.qr(rng.standard_normal((8, 4)))
    assert float(soft_orthogonality(torch.tensor(q))) == pytest.approx(0, abs=1e-20)


def test_the_penalty_is_of_all_convolutions_without_groups():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    _, _, penalty = orthogonality(strength=0.5).network(Pass(model), *batch(), draws(0))
    assert torch.equal(penalty, 0.5 * soft_orthogonality(model[0].weight))
    penalty.backward()
    assert model[0].weight.grad.abs().sum() > 0
    assert model[1].weight.grad is None


@pytest.mark.parametrize(
    ("settings", "network", "message"),
    [
        ({}, nn.Flatten(), "modules is None, and the network has no list of blocks; expected n"),
        ({"modules": ["body"]}, None, "modules has 'body', which the network doesn't; .* stem"),
    ],
)
def test_a_place_that_is_not_there_is_refused(settings, network, message):
    model = network or create_model("resnet8")
    with pytest.raises(ConfigError, match=message):
        manifold_mixup(**settings).network(Pass(model), *batch(), draws(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: manifold_mixup(alpha=0.0), "alpha is 0.0; expected a number above 0"),
        (lambda: manifold_mixup(modules=[]), "modules is empty; expected names, or None"),
        (lambda: deep_supervision(weight=0.0), "weight is 0.0; expected a number above 0"),
        (lambda: deep_supervision(modules=[]), "modules is empty; expected names, or None"),
        (lambda: orthogonality(strength=0.0), "strength is 0.0; expected a number above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
