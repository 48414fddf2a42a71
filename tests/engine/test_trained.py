"""A run's weights are read back from its checkpoints, without data and without an optimizer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from cifarzoo.engine.runner import Task, execute
from cifarzoo.engine.state import digest_of
from cifarzoo.engine.trained import Trained, Weights, load_trained
from cifarzoo.errors import CheckpointError, UsageError
from cifarzoo.protocols import Dataset
from cifarzoo.zoo.datasets.glyphs import glyphs
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.regularizers.average.ema import ema
from tests.tiny import evaluated

made: list[str] = []


def noted_sgd(params: Any) -> torch.optim.Optimizer:
    """Says that it was made."""
    made.append("optimizer")
    return sgd(params, lr=0.05)


def unreadable(folder: Path | None) -> Dataset:
    """The glyphs, which can't be read."""

    def fail() -> Any:
        raise AssertionError("the data were read")

    return replace(glyphs(folder, train_images=128, test_images=60), load=fail)


def loaded(task: Task, weights: Weights) -> Trained:
    run = replace(task.run, dataset=unreadable)
    return load_trained(run, task.open_folder(), weights=weights)


def saved(task: Task, step: int) -> dict[str, Any]:
    path = task.open_folder().checkpoints / f"step-{step:08d}" / "state.pt"
    return torch.load(path, weights_only=True)


def test_the_weights_that_were_tested_are_the_averaged_ones_and_the_last_ones_are_not(task):
    done = task("run", regularizers=[partial(ema, decay=0.5)], max_steps=4)
    result = execute(done)

    tested, last = loaded(done, "tested"), loaded(done, "last")

    assert digest_of(tested.network.state_dict()) == result.weights_sha256
    assert digest_of(last.network.state_dict()) == digest_of(saved(done, 4)["model"])
    assert digest_of(last.network.state_dict()) != result.weights_sha256
    assert (tested.step, last.step, tested.network.training) == (4, 4, False)


def test_the_best_weights_are_those_of_the_lowest_validation_error(task):
    done = task("run", validation_images=32, epochs=4, schedule=spoiling)
    execute(done)
    lines = done.open_folder().metrics()
    best_step = min(lines, key=lambda line: line["validation_error"])["step"]
    assert best_step < lines[-1]["step"]

    best = loaded(done, "best")

    assert best.step == best_step
    assert digest_of(best.network.state_dict()) == digest_of(saved(done, best_step)["model"])


def spoiling() -> Any:
    """A rate that spoils the network in the last epoch."""
    return lambda timestamp: 1.0 if timestamp.epoch < 3 else 60.0


def test_a_float64_run_keeps_its_bits(task):
    done = task("run", precision="float64", max_steps=2)

    result = execute(done)

    assert digest_of(loaded(done, "tested").network.state_dict()) == result.weights_sha256


def test_without_validation_images_no_weights_are_the_best(task):
    done = task("run", max_steps=2)
    execute(done)

    with pytest.raises(UsageError, match=r"has no best weights.*expected a run with run\.valid"):
        loaded(done, "best")


def test_a_run_without_a_checkpoint_has_no_weights(task):
    with pytest.raises(CheckpointError, match="run has no checkpoint yet"):
        loaded(task("run"), "tested")


def test_a_test_of_the_weights_makes_no_optimizer(task):
    done = task("run", optimizer=noted_sgd, max_steps=2)
    result = execute(done)
    assert made
    made.clear()

    assert evaluated(done).test == result.test
    assert not made
