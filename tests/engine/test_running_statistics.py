"""Averaged weights are tested with running statistics of their own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from cifarzoo.engine import loop
from cifarzoo.engine.assembly.build import build, build_average
from cifarzoo.engine.batches import prepare_for_evaluation
from cifarzoo.engine.events import StatisticsEvent
from cifarzoo.engine.runner import execute
from cifarzoo.engine.running_statistics import fixed_batches
from cifarzoo.engine.trained import evaluate_run, load_trained
from cifarzoo.protocols import Regularizer, Residual
from cifarzoo.zoo.regularizers.average.ema import ema
from cifarzoo.zoo.regularizers.average.lookahead import lookahead
from cifarzoo.zoo.regularizers.branch.shake_drop import shake_drop
from tests.engine.test_ranks import on_ranks
from tests.layers.test_norms import Activated, ByHand, Functional
from tests.tiny import TinyNet, evaluated, messages, tiny_run, tiny_task


@dataclass(frozen=True)
class Swa(Regularizer):
    """The mean of the weights after all steps, by torch's class."""

    use_buffers: bool = False

    def average(self, model: nn.Module) -> Any:
        return AveragedModel(model, use_buffers=self.use_buffers)


class Dropping(TinyNet):
    """Has a dropout, norms of several kinds, and one that is frozen."""

    def __init__(self, num_classes: int, residual: Residual) -> None:
        super().__init__(num_classes, residual, 8)
        self.more = nn.Sequential(Activated(8), nn.Dropout(0.5), Functional(8))
        self.frozen = nn.BatchNorm2d(8)
        self.unused = nn.BatchNorm2d(8, affine=False)

    def train(self, mode: bool = True) -> Dropping:
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        x = self.frozen(self.more(self.stem(x)))
        for block in self.blocks:
            x = x + block(x)
        return self.head(torch.relu(x).mean((2, 3)))


def dropping(num_classes: int, residual: Residual) -> nn.Module:
    """``Dropping``."""
    return Dropping(num_classes, residual)


SWA = {
    "architecture": dropping,
    "regularizers": [shake_drop, Swa],
    "precision": "float64",
    "bn_group_size": 4,
    "max_steps": 9,
}


VALIDATED = {"validation_images": 16}


def state(run: Any) -> dict[str, Any]:
    """The newest checkpoint of a task or of a folder."""
    folder = run if hasattr(run, "checkpoints") else run.open_folder()
    newest = max(folder.checkpoints.iterdir())
    return torch.load(newest / "state.pt", weights_only=True)


def by_torch(changes: dict[str, Any], saved: dict[str, Any]) -> dict[str, Tensor]:
    """The averaged network's buffers as torch's ``update_bn`` makes them of our batches."""
    components = build(tiny_run(**changes), folder=None)
    average = build_average(components, components.model.double())
    assert average is not None
    average.load_state_dict(saved["average"])
    network = average.module
    images = torch.from_numpy(components.dataset.load()[0].images)
    prepared = prepare_for_evaluation(components.augmentations, images).double()
    # Unlike ours it has all modules in training mode.
    for module in network.modules():
        if not isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(lambda module, _: setattr(module, "training", False))
    network.frozen.register_forward_pre_hook(lambda module, _: setattr(module, "training", False))
    batches = fixed_batches(len(images), len(images))
    update_bn([prepared[batch] for batch in batches], network)
    return network.state_dict()


def test_the_last_test_has_statistics_as_torch_recomputes_them(tmp_path):
    task = tiny_task(tmp_path, **SWA)
    result = execute(task)

    saved = state(task)
    expected = by_torch(SWA, saved)

    names = {name for name in expected if "running" in name}
    assert set(saved["statistics"]) == names
    # torch's can't do the one whose momentum is a constant of its own.
    for name in (n for n in names if "more.2" not in n):
        ours = saved["statistics"][name]
        torch.testing.assert_close(ours, expected[name], rtol=1e-12, atol=1e-13)
    stale = saved["average"]["module.stem.1.running_mean"]
    assert not torch.allclose(saved["statistics"]["stem.1.running_mean"], stale, rtol=1e-3)
    again = evaluated(task)
    assert again.test == result.test
    assert again.weights_sha256 == result.weights_sha256


def test_statistics_are_the_same_on_two_ranks_and_after_a_resume(tmp_path):
    saving = {**SWA, "checkpoint_steps": 5, "keep_checkpoints": 2}
    whole, stopped = tiny_task(tmp_path, "whole", **SWA), tiny_task(tmp_path, "stopped", **saving)
    execute(whole)
    ranks = on_ranks(tmp_path, "ranks", SWA)
    execute(stopped)
    newest = max(stopped.open_folder().checkpoints.iterdir())
    shutil.rmtree(newest)  # so that it goes on from step 5
    stopped.open_folder().update(status="failed")
    resumed = execute(stopped)

    assert resumed.weights_sha256 == whole.open_folder().record["weights_sha256"]
    one, two = state(whole)["statistics"], state(ranks)["statistics"]
    torch.testing.assert_close(two, one, rtol=1e-10, atol=1e-12)


def test_the_trained_network_is_not_touched(tmp_path):
    with_tests = tiny_task(tmp_path, "tests", **SWA)
    plain = tiny_task(tmp_path, "plain", **{**SWA, "regularizers": [shake_drop]})
    for task in (with_tests, plain):
        execute(task)
    torch.testing.assert_close(state(with_tests)["model"], state(plain)["model"], rtol=0, atol=0)


@pytest.mark.parametrize("regularizer", [ema, lookahead, partial(Swa, use_buffers=True)])
def test_an_average_that_averages_statistics_too_keeps_them(tmp_path, regularizer):
    task = tiny_task(tmp_path, **{**SWA, "regularizers": [regularizer]})
    events: list[Any] = []
    execute(task, [events.append])
    assert not any(isinstance(event, StatisticsEvent) for event in events)
    assert state(task)["statistics"] is None


@pytest.mark.parametrize(("changes", "images"), [({}, [100, 128]), (VALIDATED, [112, 112])])
def test_epochs_use_some_images_and_choices_and_results_all(tmp_path, monkeypatch, changes, images):
    monkeypatch.setattr(loop, "EPOCH_IMAGES", 100)
    changes = {**SWA, "max_steps": None, "precision": "float32", **changes}
    events: list[Any] = []
    execute(tiny_task(tmp_path, **changes), [events.append])
    assert [event.images for event in events if isinstance(event, StatisticsEvent)] == images


def test_weights_in_mid_run_are_loaded_with_a_warning_and_tested_with_their_own(tmp_path):
    changes = {**SWA, "checkpoint_steps": 5, "keep_checkpoints": 9}
    task = tiny_task(tmp_path, **changes)
    execute(task)
    folder = task.open_folder()
    shutil.rmtree(max(folder.checkpoints.iterdir()))
    said: list[str] = []

    load_trained(task.run, folder, warn=said.append)
    events: list[Any] = []
    evaluate_run(task.run, folder, data=None, emit=events.append)

    assert any("step 5 have no running statistics of their own" in text for text in said)
    (event,) = [event for event in events if isinstance(event, StatisticsEvent)]
    assert event.images == 128


def test_batches_are_a_random_order_that_is_always_the_same():
    first, again = fixed_batches(1000, 600), fixed_batches(1000, 600)
    assert [len(batch) for batch in first] == [200, 200, 200]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    images = np.concatenate(first)
    assert len(set(images.tolist())) == 600
    assert 400 < images.mean() < 600


def test_a_norm_that_takes_statistics_by_itself_is_warned_of(tmp_path):
    def by_hand(num_classes: int, residual: Residual) -> nn.Module:
        network = TinyNet(num_classes, residual, 8)
        network.stem.append(ByHand(8))
        return network

    events: list[Any] = []
    task = tiny_task(tmp_path, regularizers=[Swa], max_steps=1)
    execute(replace(task, run=tiny_run(architecture=by_hand, regularizers=[Swa])), [events.append])
    (said,) = (text for text in messages(events) if "running statistics" in text)
    assert said.startswith("stem.2: running statistics can't be computed for averaged weights")


def test_the_best_weights_are_kept_with_the_statistics_that_chose_them(tmp_path):
    changes = {**SWA, **VALIDATED, "max_steps": None, "keep_checkpoints": 1}
    task = tiny_task(tmp_path, **changes)
    execute(task)
    folder = task.open_folder()
    errors = [line["validation_error"] for line in folder.metrics()]
    said: list[str] = []

    best = load_trained(task.run, folder, weights="best", warn=said.append)
    tested = evaluate_run(task.run, folder, data=None, emit=said.append, weights="best")

    line = folder.metrics()[errors.index(min(errors))]
    assert (best.step, said) == (line["step"], [])
    assert tested.test.loss == pytest.approx(line["test_loss"], rel=1e-9)
