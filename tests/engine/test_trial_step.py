"""Before a run, a step and a test are tried on noise: what fails only there is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cifarzoo.engine.runner import execute
from cifarzoo.engine.trial_step import try_run
from cifarzoo.errors import ConfigError
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.regularizers.average.ema import ema
from tests.tiny import dropping_net, tiny_net, tiny_run
from tests.tried import TRIED

CPU = torch.device("cpu")


class Small(nn.Module):
    """A network whose last part a test gives."""

    def __init__(self, num_classes: int, last: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.body, self.out = nn.Conv2d(3, 8, 8, 8), nn.Linear(8 * 16, num_classes)
        self.pixel = nn.BatchNorm2d(8)
        self.last = last

    def forward(self, x: Tensor) -> Any:
        return self.last(self, self.body(x))


def flat(network: Any, x: Tensor) -> Tensor:
    return network.out(x.flatten(1))


def viewing(network: Any, x: Tensor) -> Tensor:
    return network.out(x.view(len(x), -1))


def contiguous(network: Any, x: Tensor) -> Tensor:
    if not x.is_contiguous():
        raise NotImplementedError("a kernel of my own")
    return flat(network, x)


def auxiliary(network: Any, x: Tensor) -> Any:
    return (flat(network, x), x) if network.training else flat(network, x)


def transposed(network: Any, x: Tensor) -> Tensor:
    return flat(network, x).T if network.training else flat(network, x)


def on_a_pixel(network: Any, x: Tensor) -> Tensor:
    pixel = network.pixel(x.mean((2, 3), keepdim=True))
    return network.out(pixel.expand(-1, -1, 4, 4).flatten(1))


def clashing(network: Any, x: Tensor) -> Tensor:
    logits = flat(network, x)
    torch.zeros(len(x), 4).index_copy_(1, torch.arange(4), logits[:, :4])
    return logits


def detached(network: Any, x: Tensor) -> Tensor:
    return flat(network, x).detach()


def failing_at_test(network: Any, x: Tensor) -> Tensor:
    if not network.training:
        raise KeyError("ema")
    return flat(network, x)


def not_finite_at_test(network: Any, x: Tensor) -> Tensor:
    logits = flat(network, x)
    return logits if network.training or not x.any() else logits / 0


def small(last: Callable[[nn.Module, Tensor], Any]) -> Any:
    """The factory of a network that ends in ``last``."""

    def network(num_classes: int) -> nn.Module:
        return Small(num_classes, last)

    network.__name__ = last.__name__
    return network


class Backwards(torch.autograd.Function):
    """Has no gradient yet."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(_ctx: Any, _grad: Tensor) -> Tensor:
        raise NotImplementedError("later")


def half_done(network: Any, x: Tensor) -> Tensor:
    return Backwards.apply(flat(network, x))


class Stuck(torch.optim.SGD):
    """Fails when it has a gradient."""

    def step(self, closure: Any) -> Any:  # type: ignore[override]  # as many are written
        closure()
        raise ZeroDivisionError("beta")


def stuck(params: Any) -> torch.optim.Optimizer:
    return Stuck(params, lr=0.1)


ON_FOUR = r"fails on images \(4, 3, 32, 32\) in"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "view of channels_last": (
        {"architecture": small(viewing)},
        rf"viewing: {ON_FOUR} training mode \(float32, channels_last, deterministic\): RuntimeError"
        r": view size .*; it works on \(N, C, H, W\): set run.channels_last = False",
    ),
    "a kernel of one's own": (
        {"architecture": small(contiguous)},
        r"contiguous: .*a kernel of my own; it works on .*: set run.channels_last = False",
    ),
    "a tuple in training": (
        {"architecture": small(auxiliary)},
        r"auxiliary: gives tuple for images \(4, 3, 32, 32\) in training mode; expected logits",
    ),
    "another shape in training": (
        {"architecture": small(transposed)},
        r"transposed: gives \(10, 4\) for images .* in training mode; expected logits \(4, 10\)",
    ),
    "one value a channel": (
        {"architecture": small(on_a_pixel), "bn_group_size": 1},
        rf"on_a_pixel: {ON_FOUR} training .* Expected more than 1 value per channel",
    ),
    "types under autocast": (
        {"architecture": small(clashing), "precision": "bfloat16"},
        rf"clashing: {ON_FOUR} training mode \(bfloat16, .* RuntimeError: index_copy_",
    ),
    "no gradient": (
        {"architecture": small(detached)},
        rf"detached: {ON_FOUR} training .* in the backward pass: RuntimeError: element 0 of",
    ),
    "a backward pass that fails": (
        {"architecture": small(half_done)},
        r"half_done: .*, in the backward pass: NotImplementedError: later",
    ),
    "only at test": (
        {"architecture": small(failing_at_test)},
        r"failing_at_test: fails on images \(2, 3, 32, 32\): KeyError: 'ema'",
    ),
    "not finite at test": (
        {"architecture": small(not_finite_at_test)},
        r"gives logits that are not finite on images \(4, 3, 32, 32\) in evaluation mode, and fin",
    ),
    "an optimizer": ({"optimizer": stuck}, r"stuck: fails in its step .* ZeroDivisionError: beta"),
    "few images": (
        {"architecture": small(auxiliary), "micro_batch_size": 2, "bn_group_size": 2},
        r"gives tuple for images \(2, 3, 32, 32\) in training mode; expected logits \(2, 10\)",
    ),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_fail_in_the_first_step_or_test_is_refused_before_it(changes, message):
    with pytest.raises(ConfigError, match=message):
        try_run(tiny_run(**changes), folder=None, device=CPU)


FINE: dict[str, dict[str, Any]] = {
    "view without channels_last": {"architecture": small(viewing), "channels_last": False},
    "a pixel of a whole batch": {"architecture": small(on_a_pixel)},
    "a pixel of groups of three": {
        "architecture": small(on_a_pixel),
        "batch_size": 15,
        "bn_group_size": 3,
    },
    "an average": {"regularizers": [partial(ema, decay=0.9)]},
    "a rate that no network stands": {"optimizer": partial(sgd, lr=1e38)},
    "float64": {"precision": "float64"},
}


@pytest.mark.parametrize("changes", FINE.values(), ids=FINE)
def test_what_can_be_trained_is_not_refused(changes):
    try_run(tiny_run(**changes), folder=None, device=CPU)


def test_a_deep_network_is_not_refused_for_what_it_gives_before_its_norms_have_statistics():
    def block() -> nn.Module:
        return nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))

    def loud(num_classes: int) -> nn.Module:
        blocks = [block() for _ in range(3)]
        for each in blocks:
            nn.init.normal_(each[0].weight, std=1e13)
        return nn.Sequential(nn.Conv2d(3, 8, 8, 8), *blocks, nn.Flatten(), nn.Linear(128, 10))

    try_run(tiny_run(architecture=loud), folder=None, device=CPU)


def viewing_net(num_classes: int) -> nn.Module:
    """Needs (N, C, H, W)."""
    return Small(num_classes, viewing)


def test_a_network_that_needs_nchw_trains_and_is_tested_with_it(task):
    done = task("run", architecture=viewing_net, channels_last=False, max_steps=2)

    assert execute(done).steps == 2


@pytest.mark.parametrize("architecture", [tiny_net, dropping_net])
def test_the_trial_changes_no_bit_of_the_run(task, architecture):
    tried = task("tried", architecture=architecture, max_steps=3)
    untried = replace(task("untried", architecture=architecture, max_steps=3), tried=TRIED)

    assert execute(tried).weights_sha256 == execute(untried).weights_sha256


def test_the_lines_of_ones_own_files_and_the_shapes_there_stand_below_the_message():
    def misfit(network: Any, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3))
        return network.out(pooled)

    with pytest.raises(ConfigError) as caught:
        try_run(tiny_run(architecture=small(misfit)), folder=None, device=CPU)

    notes = caught.value.__notes__
    assert notes[-2].endswith("return network.out(pooled)")
    assert notes[-2].startswith(f"  {__file__}:")
    assert notes[-1] == "  there pooled is float32 (2, 8)"
    assert not any("torch/nn" in note for note in notes)


def test_a_factory_that_fails_shows_its_line():
    def unmakeable(num_classes: int) -> nn.Module:
        sizes = {"small": 8}
        return nn.Linear(sizes["large"], num_classes)

    with pytest.raises(ConfigError, match="unmakeable: fails when it is made: KeyError") as caught:
        try_run(tiny_run(architecture=unmakeable), folder=None, device=CPU)

    assert caught.value.__notes__[-1].endswith('return nn.Linear(sizes["large"], num_classes)')
