"""Optimizers as strangers write them: every way to write ``step``, and state that is kept aside."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from cifarzoo.engine.assembly.build import build, build_optimizer
from cifarzoo.engine.assembly.optimizer_trial import try_optimizer
from cifarzoo.engine.runner import execute
from cifarzoo.errors import CifarzooError, ConfigError
from cifarzoo.protocols import Average, Regularizer
from cifarzoo.zoo.optimizers.adamw import adamw
from cifarzoo.zoo.optimizers.muon import muon
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.regularizers.average.ema import ema
from cifarzoo.zoo.regularizers.average.lookahead import lookahead
from tests.tiny import messages, tiny_run, tiny_task


class Plain(torch.optim.Optimizer):
    """Steps down the gradient, when it is asked to in torch's own way."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        with torch.enable_grad():
            loss = closure() if closure else None
        self.descend()
        return loss

    def descend(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=group["lr"])


class NoClosure(Plain):
    @torch.no_grad()
    def step(self) -> None:
        self.descend()


class IgnoresClosure(Plain):
    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # noqa: ARG002  # as people write it
        self.descend()


class IgnoresWhatItNeeds(Plain):
    @torch.no_grad()
    def step(self, closure: Any) -> None:  # noqa: ARG002  # as people write it
        self.descend()


class OnlyKeywords(Plain):
    @torch.no_grad()
    def step(self, **_settings: Any) -> None:
        self.descend()


class AnyArguments(Plain):
    def step(self, *args: Any, **settings: Any) -> Any:
        return super().step(*args, **settings)


class Uphill(Plain):
    """A step by the gradient a little uphill."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        with torch.enable_grad():
            loss = closure()
        self.climb_and_step(closure)
        return loss

    def climb_and_step(self, closure: Callable[[], Tensor]) -> None:
        parameters = [p for group in self.param_groups for p in group["params"]]
        norm = torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()
        moves = [0.05 * p.grad / norm for p in parameters]
        torch._foreach_add_(parameters, moves)
        with torch.enable_grad():
            closure()
        torch._foreach_sub_(parameters, moves)
        self.descend()


class UphillFromGradient(Uphill):
    """The same where the loop has computed the first gradient, as a common SAM wants it."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> None:
        self.climb_and_step(closure)


def weights(task) -> dict[str, Tensor]:
    newest = max(task.open_folder().checkpoints.iterdir())
    return torch.load(newest / "state.pt", weights_only=True)["model"]


@pytest.mark.parametrize(
    ("optimizer", "same"),
    [
        (NoClosure, Plain),
        (IgnoresClosure, Plain),
        (IgnoresWhatItNeeds, Plain),
        (OnlyKeywords, Plain),
        (AnyArguments, Plain),
        (UphillFromGradient, Uphill),
    ],
)
def test_however_a_step_is_written_it_trains_the_same(tmp_path, optimizer, same):
    trained = []
    for each in (optimizer, same):
        task = tiny_task(
            tmp_path, each.__name__, architecture=plain_net, optimizer=each, max_steps=3
        )
        execute(task)
        trained.append((weights(task), task.open_folder().metrics()[-1]["train_loss"]))

    torch.testing.assert_close(trained[0], trained[1], rtol=0, atol=0)


def plain_net(num_classes: int) -> nn.Module:
    """A linear model: without BatchNorm, since a second pass would move its statistics."""
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, num_classes))


class Asking(Plain):
    def step(self, loss: Tensor, epoch: int) -> None:
        del loss, epoch


def test_a_step_that_wants_more_than_a_closure_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"gives Asking, whose step needs loss, epoch; expected step\(\), step\("
    ):
        execute(tiny_task(tmp_path, optimizer=Asking))


class Moody(Plain):
    """Calls its closure where it is tried, and never on the run's network."""

    def step(self, closure: Callable[[], Tensor]) -> None:
        if sum(p.numel() for group in self.param_groups for p in group["params"]) < 500:
            closure()


def test_a_step_that_trains_nothing_is_an_error_in_words(tmp_path):
    with pytest.raises(
        CifarzooError, match=r"Moody\.step was given the closure and did not call it"
    ):
        execute(tiny_task(tmp_path, optimizer=Moody))


def tried(**changes: Any) -> tuple[str, ...]:
    run = tiny_run(**changes)
    components = build(run, folder=None)
    optimizer, _ = build_optimizer(run, components, components.model)
    return try_optimizer(run, components, optimizer, device=torch.device("cpu")).warnings


class Counting(Plain):
    """Counts its steps in an attribute, and slows down by them."""

    num_steps = 0

    def descend(self) -> None:
        self.num_steps += 1
        for group in self.param_groups:
            group["lr"] = 0.1 / self.num_steps
        super().descend()


class Anchored(Plain):
    """Goes back half of the way to where it was ten steps ago, a list that nobody saves."""

    def descend(self) -> None:
        parameters = [p for group in self.param_groups for p in group["params"]]
        if not hasattr(self, "anchors"):
            self.anchors, self.num_steps = [p.clone() for p in parameters], 0
        super().descend()
        self.num_steps += 1
        if self.num_steps % 10 == 0:
            torch._foreach_lerp_(parameters, self.anchors, 0.5)
            self.anchors = [p.clone() for p in parameters]


class Unloadable(Plain):
    def load_state_dict(self, _state: Any) -> None:
        raise NotImplementedError("later")


class Saving(Counting):
    """``Counting`` as it should be."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "num_steps": self.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.num_steps = state["num_steps"]
        super().load_state_dict(state)


class OnlyCuda(Plain):
    def descend(self) -> None:
        raise RuntimeError("expected tensors on a GPU")


class Wrapping:
    """A wrapper that scales gradients by a count of its own, and saves what it wraps alone."""

    def __init__(self, optimizer: Any) -> None:
        self._inner, self._count = optimizer, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        loss = closure()
        self._count += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad.mul_(1 + 1 / self._count)
        self._inner.step()
        return loss


@dataclass(frozen=True)
class Wraps(Regularizer):
    def optimizer(self, optimizer: Any) -> Any:
        return Wrapping(optimizer)


class Forgetful:
    """The mean of all weights so far, without the number of them in its state."""

    def __init__(self, model: nn.Module) -> None:
        self.module, self.count = copy.deepcopy(model), 1

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        self.count += 1
        for mean, new in zip(self.module.parameters(), model.parameters(), strict=True):
            mean.lerp_(new, 1 / self.count)

    def state_dict(self) -> dict[str, Any]:
        return {"module": self.module.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])


@dataclass(frozen=True)
class Averages(Regularizer):
    make: Callable[[nn.Module], Average]

    def average(self, model: nn.Module) -> Average:
        return self.make(model)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"optimizer": Counting}, r"^Counting: a run that is resumed goes another way.* step 1 "),
        ({"optimizer": Anchored}, r"^Anchored: .*keeps something that its state_dict doesn't have"),
        ({"optimizer": Unloadable}, r"^Unloadable: .*take its state_dict back \(NotImplemented"),
        ({"optimizer": OnlyCuda}, r"^OnlyCuda can't be tried on a small network.*on a GPU"),
        ({"regularizers": [Wraps]}, r"^Wraps: a run that is resumed goes another way"),
        ({"optimizer": Counting, "regularizers": [Wraps]}, r"^Counting: "),
        ({"regularizers": [partial(Averages, Forgetful)]}, r"^Averages: .*since its average keeps"),
    ],
)
def test_what_would_not_be_resumed_exactly_is_told_by_name(changes, warning):
    (found,) = tried(**changes)
    assert re.search(warning, found), found


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": sgd},
        {"optimizer": partial(sgd, clip_norm=0.5)},
        {"optimizer": adamw},
        {"optimizer": muon},
        {"optimizer": Saving},
        {"regularizers": [partial(ema, warmup=True)]},
        {"regularizers": [lookahead]},
        {"regularizers": [partial(Averages, AveragedModel)]},
        {"norm_bias_lr_scale": 8.0},
    ],
)
def test_nothing_is_said_of_what_is_whole(changes):
    assert tried(**changes) == ()


def test_the_run_says_it_too(tmp_path):
    events: list[Any] = []
    execute(tiny_task(tmp_path, optimizer=Counting, max_steps=1), [events.append])
    assert any("Counting: a run that is resumed" in message for message in messages(events))
