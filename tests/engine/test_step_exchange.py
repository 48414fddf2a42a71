"""The exchange of a step, read at once or a step later as on a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cifarzoo.engine import runner
from cifarzoo.engine.device import precision
from cifarzoo.engine.distributed.step_exchange import StepExchange, StepInfo, StepReport
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.runner import execute
from cifarzoo.errors import NotFiniteError
from tests.tiny import tiny_task


def exchange(delay: int, *, may_overflow: bool = False) -> StepExchange:
    return StepExchange(
        World(0, 1, torch.device("cpu")),
        images_of=lambda step, rank: [10 * step + rank, 7],
        may_overflow=may_overflow,
        delay=delay,
    )


def submit(
    to: StepExchange, number: int, loss: float, norm: float = 1.0, **said
) -> list[StepReport]:
    said = {"signal_number": 0, "save_due": False} | said
    step = StepInfo(number=number, rate=0.1)
    return to.submit(step, torch.tensor(loss), torch.tensor(norm), **said)


def test_without_delay_a_steps_numbers_are_read_at_once():
    assert submit(exchange(0), 0, 2.5, signal_number=15) == [StepReport(2.5, 15, save_due=False)]


def test_with_delay_they_are_read_after_the_next_step_and_when_all_is_settled():
    late = exchange(1)

    assert submit(late, 0, 2.5, save_due=True) == []
    assert submit(late, 1, 1.5) == [StepReport(2.5, 0, save_due=True)]
    assert late.flush() == [StepReport(1.5)]
    assert late.flush() == []


def test_a_second_pass_over_a_batch_is_checked_and_not_reported():
    at_once = exchange(0)

    assert len(submit(at_once, 0, 2.5)) == 1
    assert submit(at_once, 0, 2.6) == []
    with pytest.raises(NotFiniteError, match="gradient is not finite in step 1"):
        submit(at_once, 0, 2.6, float("inf"))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_names_its_own_step_and_images_also_when_read_later(wrong):
    late = exchange(1)
    submit(late, 3, wrong)

    with pytest.raises(NotFiniteError, match=r"loss is not finite in step 4, .* images 30, 7, …"):
        submit(late, 4, 1.0)


def test_an_overflowing_gradient_may_be_allowed_and_an_infinite_loss_is_not():
    scaled = exchange(0, may_overflow=True)

    assert len(submit(scaled, 0, 1.0, float("inf"))) == 1
    with pytest.raises(NotFiniteError, match="loss"):
        submit(scaled, 1, float("nan"))


def test_reports_ask_together_for_what_each_asks():
    merged = StepReport(2.0, 15).merged(StepReport(1.0, 0, save_due=True))

    assert merged == StepReport(1.0, 15, save_due=True)


def read_late(monkeypatch):
    def choose(run, device):
        return replace(precision.choose(run, device), delay=1)

    monkeypatch.setattr(runner, "choose", choose)


def test_reading_later_changes_neither_weights_nor_metrics_nor_checkpoints(tmp_path, monkeypatch):
    changes = {"checkpoint_steps": 3, "keep_checkpoints": 9, "validation_images": 16}
    results = []
    for name in ("at once", "late"):
        task = tiny_task(tmp_path, name, **changes)
        result = execute(task)
        folder = task.open_folder()
        names = sorted(path.name for path in folder.checkpoints.iterdir())
        lines = [
            {k: v for k, v in line.items() if "seconds" not in k and "images" not in k}
            for line in folder.metrics()
        ]
        results.append((result.weights_sha256, result.train_loss, names, lines))
        read_late(monkeypatch)

    assert results[0] == results[1]


def test_reading_later_still_saves_nothing_that_is_not_finite(tmp_path, monkeypatch):
    read_late(monkeypatch)
    task = tiny_task(tmp_path, optimizer=diverging, checkpoint_steps=1, clip_norm=None)

    with pytest.raises(NotFiniteError):
        execute(task)

    for path in task.open_folder().checkpoints.glob("step-*/state.pt"):
        model = torch.load(path, weights_only=True)["model"]
        assert all(tensor.isfinite().all() for tensor in model.values())


def diverging(params, *, lr: float = 1e30):
    return torch.optim.SGD(params, lr=lr)
