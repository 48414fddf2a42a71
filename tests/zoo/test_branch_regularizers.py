"""shake_shake, shake_drop and stochastic_depth do what their papers say, alone and stacked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cifarzoo.engine.assembly.residual import ResidualPort
from cifarzoo.errors import ConfigError
from cifarzoo.layers.dropout import Rows, dropouts, feed, rows_of
from cifarzoo.layers.noise import Noise
from cifarzoo.protocols import Regularizer, Site
from cifarzoo.randomness.gates import SiteDraws, site_draws
from cifarzoo.randomness.injection import inject
from cifarzoo.zoo.regularizers.branch.shake_drop import shake_drop, shake_or_keep
from cifarzoo.zoo.regularizers.branch.shake_shake import mix, shake_shake
from cifarzoo.zoo.regularizers.branch.stochastic_depth import stochastic_depth

MANY = 40_000


def branch(regularizer: Regularizer, index: int = 3, total: int = 6) -> nn.Module:
    module = regularizer.branch(Site(index, total, final_norm=True, draws=SiteDraws()))
    assert module is not None
    return module


def features(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 2, 3, 3, generator=generator, dtype=torch.float64).requires_grad_()


def numbers(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(6, 1, 1, 1, generator=generator, dtype=torch.float64)


def assert_equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-14)


def assert_mean(samples: Tensor, expected: float) -> None:
    """Within four standard errors of the mean: fails by chance once in 16,000."""
    standard_error = samples.std() / len(samples) ** 0.5
    assert abs(samples.mean() - expected) < 4 * standard_error


def test_mix_uses_alpha_forward_and_beta_backward():
    a, b, alpha, beta, upstream = features(0), features(1), numbers(2), numbers(3), features(4)

    mixed = mix(a, b, alpha, beta)
    mixed.backward(upstream)

    assert_equal(mixed, alpha * a + (1 - alpha) * b)
    assert_equal(a.grad, beta * upstream)
    assert_equal(b.grad, (1 - beta) * upstream)


@pytest.mark.parametrize("forward", ["shake", "even"])
@pytest.mark.parametrize("backward", ["shake", "even", "keep"])
def test_each_mode_of_shake_shake_weighs_the_first_path_as_it_says(forward: str, backward: str):
    module = branch(shake_shake(forward=forward, backward=backward))
    a, b, half = features(0), features(1), torch.full((6, 1, 1, 1), 0.5, dtype=torch.float64)
    drawn = [numbers(2 + i) for i in range((forward == "shake") + (backward == "shake"))]
    alpha = drawn[0] if forward == "shake" else half
    beta = {"shake": drawn[-1:], "even": [half], "keep": [alpha]}[backward][0]

    inject(module, drawn)
    mixed = module([a, b])
    mixed.sum().backward()

    assert_equal(mixed, alpha * a + (1 - alpha) * b)
    assert_equal(a.grad, beta.expand_as(a))
    assert_equal(b.grad, 1 - beta.expand_as(b))


def test_shake_shake_is_even_in_evaluation_and_random_in_training():
    module, a, b = branch(shake_shake()), features(0), features(1)
    assert torch.equal(module.eval()([a, b]), (a + b) / 2)
    assert not torch.equal(module.train()([a, b]), module([a, b]))


@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("make", [shake_shake, shake_drop, stochastic_depth])
def test_numbers_are_drawn_per_sample_or_per_batch(make: Callable[..., Regularizer], per: str):
    torch.manual_seed(0)
    for draw in site_draws(branch(make(per=per))):
        distinct = draw(torch.zeros(64, 1, 1, 1)).unique()
        assert (len(distinct) == 1) == (per == "batch")  # 64 gates of 0.75 agree once in 1e8


def test_a_ratio_weighs_the_first_path_by_u_over_u_plus_v():
    module, a, b = branch(shake_shake(distribution="ratio")), features(0), features(1)
    u, v, u2, v2 = (numbers(seed) for seed in range(2, 6))

    inject(module, [u, v, u2, v2])
    mixed = module([a, b])
    mixed.sum().backward()

    assert_equal(mixed, (u * a + v * b) / (u + v))
    assert_equal(a.grad, (u2 / (u2 + v2)).expand_as(a))
    assert_equal(b.grad, (v2 / (u2 + v2)).expand_as(b))


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_ratio_of_nothing_to_nothing_is_a_number(kind: torch.dtype):
    module = branch(shake_shake(distribution="ratio"))
    a, b = (features(seed).detach().to(kind) for seed in (0, 1))
    inject(module, [torch.zeros(6)] * 4)
    assert torch.equal(module([a, b]), b)


def test_ratios_are_distributed_as_two_uniform_numbers_make_them():
    torch.manual_seed(0)
    module = branch(shake_shake(distribution="ratio"))
    ones = torch.ones(MANY, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    alpha = module([ones, torch.zeros_like(ones)])
    alpha.sum().backward()

    # P(r < q) is q / (2 - 2 q) up to one half, whence these central moments; the variance of a
    # sample variance is (fourth - second^2) / n.
    second, fourth = 3 / 4 - math.log(2), 17 / 48 - math.log(2) / 2
    tolerance = 4 * ((fourth - second**2) / MANY) ** 0.5
    for ratios in (alpha.detach().flatten(), ones.grad.flatten()):
        assert_mean(ratios, 0.5)
        assert_mean((ratios < 0.25).double(), 1 / 6)
        assert ratios.var().item() == pytest.approx(second, abs=tolerance)


def test_shake_drop_scales_forward_and_backward_as_its_equation_says():
    x, alpha, beta, upstream = features(0), 2 * numbers(1) - 1, numbers(2), features(3)
    gate = torch.tensor([0, 1, 0, 1, 1, 0], dtype=torch.float64).view(6, 1, 1, 1)

    y = shake_or_keep(x, gate, alpha, beta)
    y.backward(upstream)

    kept = gate.bool()
    assert_equal(y, torch.where(kept, x, alpha * x))
    assert_equal(x.grad, torch.where(kept, upstream, beta * upstream))


@pytest.mark.parametrize(
    ("regularizer", "index", "keeps"),
    [
        (shake_drop(final_drop_prob=0.5), 3, 0.75),
        (shake_drop(final_drop_prob=0.5), 6, 0.5),
        (shake_drop(final_drop_prob=0.3, decay="uniform"), 1, 0.7),
        (stochastic_depth(final_drop_prob=0.6), 1, 0.9),
        (stochastic_depth(final_drop_prob=0.2, decay="uniform"), 6, 0.8),
    ],
)
def test_a_branch_is_kept_as_often_as_its_depth_says(
    regularizer: Regularizer, index: int, keeps: float
):
    (gate, *_) = site_draws(branch(regularizer, index))
    assert (gate.distribution, gate.a) == ("bernoulli", pytest.approx(keeps))


def test_shake_drop_draws_its_factors_from_the_given_ranges():
    _, alpha, beta = site_draws(branch(shake_drop(alpha=[-0.5, 2], beta=[0.25, 0.75])))
    assert [(d.distribution, d.a, d.b) for d in (alpha, beta)] == [
        ("uniform", -0.5, 2),
        ("uniform", 0.25, 0.75),
    ]


@pytest.mark.parametrize(
    "regularizer",
    [
        shake_drop(),
        shake_drop(final_drop_prob=0.9, alpha=[0.0, 0.5]),
        stochastic_depth(per="sample"),
        stochastic_depth(per="sample", final_drop_prob=0.9),
    ],
)
def test_evaluation_gives_the_mean_of_training(regularizer: Regularizer):
    torch.manual_seed(0)
    module, x = branch(regularizer), torch.ones(MANY, 1, 1, 1, dtype=torch.float64)
    in_training = module.train()(x).flatten()
    in_evaluation = module.eval()(x[:1]).item()
    assert_mean(in_training, in_evaluation)


@pytest.mark.parametrize("backward", ["shake", "even", "keep"])
def test_shake_shake_weighs_both_paths_alike_on_average(backward: str):
    torch.manual_seed(0)
    module = branch(shake_shake(backward=backward))
    ones = torch.ones(MANY, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    output = module([ones, torch.zeros_like(ones)])
    output.sum().backward()
    assert_mean(output.detach().flatten(), 0.5)
    if backward != "even":
        assert_mean(ones.grad.flatten(), 0.5)
        variance = ones.grad.var().item()  # of U(0, 1): 1 / 12, its own variance 1 / (180 n)
        assert variance == pytest.approx(1 / 12, abs=4 / (180 * MANY) ** 0.5)


def test_a_dropped_branch_passes_no_gradient_and_a_kept_one_all_of_it():
    module, x = branch(stochastic_depth()), features(0)
    inject(module, [torch.tensor([1, 0, 1, 0, 0, 1])])
    y = module(x)
    y.sum().backward()
    kept = torch.tensor([1.0, 0, 1, 0, 0, 1], dtype=torch.float64).view(6, 1, 1, 1)
    assert torch.equal(y, x * kept)
    assert torch.equal(x.grad, kept.expand_as(x))


def test_a_merger_and_a_dropper_stack():
    port = ResidualPort([shake_shake(), stochastic_depth(per="sample")])
    block = port(lambda: nn.Conv2d(2, 2, 1).double(), Site(6, 6, final_norm=True))
    alpha, beta, gate = numbers(0), numbers(1), torch.tensor([1, 1, 0, 0, 1, 0])
    x = features(2)

    inject(block, [alpha, beta, gate])
    output = block(x)

    a, b = (path(x) for path in block.paths)
    expected = (alpha * a + (1 - alpha) * b) * gate.view(6, 1, 1, 1)
    assert_equal(output, expected)


@pytest.mark.parametrize(("per", "shape"), [("channel", (6, 4, 1, 1)), ("pixel", (6, 4, 5, 7))])
def test_finer_shake_drop_has_its_factors_a_channel_or_a_pixel(per, shape):
    regularizer = shake_drop(final_drop_prob=1.0, alpha=[-0.5, 2], beta=[0.25, 0.75], per=per)
    module = branch(regularizer, index=6, total=6).train()  # which is always shaken
    layers = dropouts(module)
    feed(layers, rows_of(layers, seed=0, step=0, first=0))
    x = torch.randn(6, 4, 5, 7, dtype=torch.float64, requires_grad=True)
    alpha, beta = module.alpha(x), module.beta(x)
    assert alpha.shape == beta.shape == shape
    assert -0.5 <= alpha.min() < alpha.max() < 2
    assert 0.25 <= beta.min() < beta.max() < 0.75
    assert len(alpha.unique()) > 0.9 * alpha.numel()  # of 65,536 numbers

    output = module(x)
    output.sum().backward()
    torch.testing.assert_close(output, x * alpha)
    torch.testing.assert_close(x.grad, beta.expand_as(x))


def test_finer_factors_are_uniform_and_those_of_a_rank_are_the_whole_batchs():
    noise, x = Noise(), torch.zeros(2000, 8, 4, 4)
    noise.rows = Rows(5, 0)
    numbers = noise.numbers(x, "channel").flatten()
    counts = torch.histc(numbers, 16, 0, 1)
    expected = len(numbers) / 16
    assert (counts - expected).abs().max() < 4 * math.sqrt(expected)

    whole = noise.numbers(x[:6], "pixel")
    noise.rows = Rows(5, 4)
    assert torch.equal(noise.numbers(x[4:6], "pixel"), whole[4:6])


def test_shake_drop_is_refused_where_paths_end_without_a_norm():
    port = ResidualPort([shake_drop()])
    with pytest.raises(ConfigError, match="shake_drop, which needs residual paths that end in a"):
        port(nn.Identity, Site(1, 1))


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (shake_shake, {"forward": "keep"}, r"forward is 'keep'; expected 'shake' or 'even'"),
        (shake_shake, {"backward": "odd"}, r"backward is 'odd'; expected .* or 'keep'"),
        (shake_shake, {"distribution": "beta"}, r"is 'beta'; expected 'uniform' or 'ratio'"),
        (
            shake_shake,
            {"distribution": "ratio", "forward": "even", "backward": "keep"},
            r"distribution is 'ratio', but neither forward nor backward is 'shake'",
        ),
        (shake_shake, {"per": "pixel"}, r"per is 'pixel'; expected 'sample' or 'batch'"),
        (shake_drop, {"final_drop_prob": 1.5}, r"final_drop_prob is 1.5; expected 0 to 1"),
        (shake_drop, {"decay": "cosine"}, r"decay is 'cosine'; expected 'linear' or 'uniform'"),
        (shake_drop, {"alpha": [1, -1]}, r"alpha is \[1, -1\]; expected two numbers, the lower"),
        (shake_drop, {"beta": [0.5]}, r"beta is \[0.5\]; expected two numbers"),
        (shake_drop, {"beta": [0, float("nan")]}, r"beta\[1\] is nan; expected a finite number"),
        (stochastic_depth, {"final_drop_prob": -0.1}, r"final_drop_prob is -0.1; expected 0 to 1"),
        (stochastic_depth, {"per": "channel"}, r"per is 'channel'; expected 'sample' or 'batch'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    make: Callable[..., Regularizer], settings: dict[str, Any], message: str
):
    with pytest.raises(ConfigError, match=message):
        make(**settings)
