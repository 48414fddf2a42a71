"""A loss that grows beyond chance is warned of once; a float16 run that never recovers stops."""

from __future__ import annotations

import math

import pytest
import torch

from cifarzoo.engine.distributed.step_exchange import StepExchange, StepInfo
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.divergence import PATIENCE, Divergence
from cifarzoo.engine.events import Event
from cifarzoo.engine.runner import execute
from cifarzoo.errors import NotFiniteError
from cifarzoo.zoo.schedules.constant import constant
from tests.tiny import messages


def warned_at(losses: list[float], *, first: int = 1, num_classes: int | None = 10) -> list[int]:
    divergence = Divergence(num_classes)
    steps = range(first, first + len(losses))
    return [step for step, x in zip(steps, losses, strict=True) if divergence.message(x, step=step)]


def test_a_loss_that_falls_or_jumps_for_a_while_is_fine():
    assert warned_at([2.3 * 0.99**step for step in range(2000)]) == []
    assert warned_at([2.3] + [10.0] * 100 + [2.0] * 1000) == []


def test_a_loss_that_stays_beyond_chance_is_warned_of_once():
    # In the average it passes 3 x 2.3 at once and stays there.
    assert warned_at([2.3] + [500.0] * 1000) == [1 + PATIENCE]


def test_an_attempt_that_goes_on_measures_by_chance_and_not_by_its_first_loss():
    bound = max(3 * math.log(10), math.log(10) + 2)

    assert warned_at([bound + 1] * 400, first=500) == [500 + PATIENCE - 1]
    assert warned_at([bound - 1] * 400, first=500) == []


def test_another_loss_is_measured_by_the_attempts_first():
    assert warned_at([0.2] + [0.5] * 1000, num_classes=None) == []
    assert warned_at([0.2] + [50.0] * 1000, num_classes=None) == [1 + PATIENCE]
    assert warned_at([900.0] * 1000, first=500, num_classes=None) == []

    divergence = Divergence(None)
    said = [divergence.message(loss, step=1) for loss in [0.2] + [50.0] * PATIENCE]
    assert said[-1] is not None
    assert "for 200 steps, at step 1; it began at 0.2: the run may have diverged" in said[-1]


def test_a_run_warns_of_it(task, monkeypatch):
    monkeypatch.setattr("cifarzoo.engine.divergence.PATIENCE", 5)
    events: list[Event] = []

    execute(task("run", architecture=shouting_net, schedule=constant), [events.append])

    warned = [message.partition(" for 5 steps")[0][:23] for message in messages(events)]
    assert warned == ["the training loss has b"]


def shouting_net(num_classes: int) -> torch.nn.Module:
    """Is sure of a wrong class from its second step on."""
    return Shouting(num_classes)


class Shouting(torch.nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(()))
        self.num_classes = num_classes
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        logits = torch.zeros(len(x), self.num_classes)
        logits[:, 0] = 100.0 * (self.calls > 3)
        return logits + 0 * self.scale


def overflows(numbers: list[float]) -> None:
    """Steps whose gradients have these norms, in float16."""
    exchange = StepExchange(
        World(0, 1, torch.device("cpu")), images_of=lambda *_: [], may_overflow=True, delay=0
    )
    for number, norm in enumerate(numbers):
        exchange.submit(
            StepInfo(number=number, rate=0.1),
            torch.tensor(1.0),
            torch.tensor(norm),
            signal_number=0,
            save_due=False,
        )


def test_a_gradient_that_overflows_float16_for_ever_stops_the_run():
    with pytest.raises(
        NotFiniteError, match=r"overflowed float16 in 25 steps in a row, up to step 26"
    ):
        overflows([1.0] + [math.inf] * 30)


def test_gradients_that_overflow_now_and_then_are_skipped():
    overflows(([math.inf] * 24 + [1.0]) * 3)
