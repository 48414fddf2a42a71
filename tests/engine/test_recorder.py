"""Every finished run keeps what its last test gave, image by image."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cifarzoo
from cifarzoo.data.order import subset
from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.engine.distributed.world import World
from cifarzoo.engine.recorder import Recorder
from cifarzoo.engine.runner import execute
from cifarzoo.errors import CifarzooError, NotFiniteError
from cifarzoo.files.real_folder import RealFolder
from cifarzoo.run_folders.folder import PREDICTIONS, STATE, RunFolder
from cifarzoo.run_folders.predictions import read_predictions
from cifarzoo.zoo.augmentations.flip_tta import flip_tta
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.datasets.glyphs import glyphs
from tests.engine.test_ranks import on_ranks
from tests.engine.test_tests_without_a_number import blind_at_last
from tests.full_disk import no_file_larger_than
from tests.tiny import messages, tiny_task
from tests.trust.workload import leftovers

VIEWS = {"augmentations": [normalize, flip_tta], "epochs": 1}
MANY = {"dataset": partial(glyphs, train_images=128, test_images=3000), "epochs": 1}
BELOW_PREDICTIONS = 60_000  # bytes: of ``MANY``; the state of a checkpoint has fewer
CPU = torch.device("cpu")


class NearlyTied(nn.Module):
    """Logits that differ by less than float16 can tell at their size."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return 1000 + 0.01 * self.net(x)


def nearly_tied(num_classes: int) -> nn.Module:
    """``NearlyTied``."""
    return NearlyTied(num_classes)


def train(root: Path, name: str = "run", **changes: Any) -> RunFolder:
    task = tiny_task(root, name, **changes)
    execute(task)
    return task.open_folder()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        VIEWS,
        {**VIEWS, "eval_images": 41, "validation_images": 16},
        {**VIEWS, "architecture": nearly_tied},
    ],
    ids=["plain", "views", "some of the images", "logits that rounding makes equal"],
)
def test_errors_are_those_of_the_record_to_the_digit(tmp_path, changes):
    folder = train(tmp_path, **changes)

    found = read_predictions(folder)

    record = folder.record
    assert found.error == record["test_error"]
    assert found.tta_error == record.get("tta_test_error")
    assert found.num_views == (6 if "augmentations" in changes else 1)
    if changes.get("architecture") is nearly_tied:
        assert len(np.unique(found.logits)) == 1
        assert len(np.unique(found.predicted)) > 1
    rows = subset(60, changes.get("eval_images", 60))
    assert np.array_equal(found.indices, rows)
    _, test = glyphs(None, train_images=128, test_images=60).load()
    assert np.array_equal(found.labels, test.labels[rows])


def test_logits_are_those_of_the_network_that_was_tested(tmp_path):
    settings = {"glyphs.train_images": 64, "glyphs.test_images": 20}
    settings |= {"run.epochs": 1, "run.precision": "float32"}
    text = "include 'quickstart.gin'\n"
    path = cifarzoo.train(text, set=settings, out=tmp_path, progress=False).path
    run = cifarzoo.load_run(path)
    _, test = glyphs(None, train_images=64, test_images=20).load()

    with torch.no_grad():
        logits = run.model(run.preprocess(test.images)).numpy()

    found = run.predictions
    assert found is run.predictions
    np.testing.assert_allclose(found.logits, logits, rtol=1e-3, atol=1e-3)
    assert np.array_equal(found.predicted, logits.argmax(1))
    assert found.error == run.result.test_error


def test_ranks_keep_every_image_once_and_in_order(tmp_path):
    changes = {**VIEWS, "eval_images": 41, "max_steps": 2, "precision": "float64"}
    alone = read_predictions(train(tmp_path, "alone", **changes))

    ranks = read_predictions(on_ranks(tmp_path, "ranks", changes))

    for name in ("indices", "labels", "predicted", "tta_predicted"):
        assert np.array_equal(getattr(ranks, name), getattr(alone, name))
    for name in ("logits", "tta_logits"):  # to a unit of the last place of float16
        np.testing.assert_allclose(getattr(ranks, name), getattr(alone, name), rtol=2**-10)
    assert ranks.num_views == alone.num_views


def test_the_class_is_that_before_rounding_and_no_logit_is_too_large():
    logits = torch.tensor([[1.0, 1.0001, 0.0], [1e6, 1e7, -torch.inf], [3e38, 0.0, torch.inf]])
    recorder = Recorder(3, 3, world_size=1, device=CPU)
    recorder.add(logits, logits.argmax(1), torch.tensor([0, 1, 2]), num_views=1)

    kept, predicted, labels = recorder.gathered(World(0, 1, CPU))

    assert predicted.tolist() == [1, 1, 2]
    assert labels.tolist() == [0, 1, 2]
    assert kept.tolist() == [[1, 1, 0], [65504, 65504, -65504], [65504, 0, 65504]]


def test_a_disk_without_room_for_them_costs_no_result(tmp_path):
    events: list[Any] = []
    task = tiny_task(tmp_path, **MANY)
    folder = task.open_folder()
    (folder.path / PREDICTIONS).touch()  # of an earlier attempt

    with no_file_larger_than(BELOW_PREDICTIONS):
        result = execute(task, [events.append])

    assert folder.record["status"] == "done"
    assert folder.record["test_error"] == result.test.error
    (warning,) = messages(events)
    assert warning == (
        f"{folder.path / PREDICTIONS} was not written: File too large; the result is the same "
        "without it"
    )
    assert not (folder.path / PREDICTIONS).exists()
    assert leftovers(folder) == []
    with pytest.raises(CifarzooError, match="it could not be written"):
        read_predictions(folder)


def test_they_leave_their_room_to_the_last_checkpoint(tmp_path, monkeypatch):
    events: list[Any] = []
    task = tiny_task(tmp_path)
    write, full = RealFolder.write, OSError(errno.ENOSPC, "No space left on device")

    def without_room(folder: RealFolder, name: str, data: Any) -> None:
        if name == STATE and (tmp_path / "run" / PREDICTIONS).exists():
            raise full
        write(folder, name, data)

    monkeypatch.setattr(RealFolder, "write", without_room)
    execute(task, [events.append])

    folder = task.open_folder()
    assert folder.record["status"] == "done"
    (taken,) = messages(events)
    assert taken == f"{folder.path / PREDICTIONS} is taken away, to make room for the checkpoint"
    assert Checkpoints(folder.checkpoints, keep=1, warn=print).read(16)
    assert leftovers(folder) == []


@pytest.mark.parametrize("when", ["they are in place", "the last checkpoint"])
def test_a_run_that_died_before_it_was_done_has_them_in_the_end(tmp_path, monkeypatch, when):
    whole = train(tmp_path, "whole").path / PREDICTIONS

    def die(*_arguments: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        if when == "the last checkpoint":
            dying.setattr(Checkpoints, "save", die)
        else:
            dying.setattr(RealFolder, "replace", dying_at(PREDICTIONS))
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path)
    assert RunFolder(tmp_path / "run").record["status"] == "failed"

    assert (train(tmp_path).path / PREDICTIONS).read_bytes() == whole.read_bytes()
    assert leftovers(RunFolder(tmp_path / "run")) == []


def dying_at(name: str) -> Any:
    """``RealFolder.replace`` that is killed once a file is written and not yet in its place."""
    replace = RealFolder.replace

    def replace_or_die(folder: RealFolder, its_name: str, data: bytes) -> None:
        if its_name == name:
            folder.write(f".{name}.1", data[: len(data) // 2])
            raise KeyboardInterrupt
        replace(folder, its_name, data)

    return replace_or_die


def test_a_finished_run_that_goes_on_is_left_as_it_is(tmp_path):
    folder = train(tmp_path)
    (folder.path / PREDICTIONS).unlink()  # as an older cifarzoo finishes a run

    train(tmp_path)

    assert not (folder.path / PREDICTIONS).exists()


def test_a_run_without_a_result_has_none(tmp_path):
    with pytest.raises(NotFiniteError, match="not finite after the last epoch"):
        train(tmp_path, architecture=blind_at_last)

    assert not (tmp_path / "run" / PREDICTIONS).exists()


def test_a_checkpoint_is_smaller_than_the_predictions_of_the_full_disk(tmp_path):
    folder = train(tmp_path, **MANY)

    (state,) = folder.checkpoints.glob(f"*/{STATE}")
    assert state.stat().st_size < BELOW_PREDICTIONS < (folder.path / PREDICTIONS).stat().st_size
