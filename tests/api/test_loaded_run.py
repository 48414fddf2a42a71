"""A run taken apart: the weights that were tested, and images as they were tested."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import cifarzoo
from cifarzoo.api.loaded_run import LoadedRun
from cifarzoo.engine.state import digest_of
from cifarzoo.errors import CheckpointError, UsageError
from cifarzoo.zoo.datasets.glyphs import glyphs
from tests.api.test_training import TINY

SETTINGS = {
    "run.regularizers": ["@ema"],
    "ema.decay": 0.9,
    "run.validation_images": 16,
    "run.epochs": 3,
    "run.keep_checkpoints": 5,
    "run.checkpoint_steps": 1,
}


def digest_of_folder(path: Path) -> dict[str, str]:
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    return cifarzoo.train(TINY, set=SETTINGS, out=out, progress=False).path


@pytest.fixture
def run(path: Path) -> LoadedRun:
    return cifarzoo.load_run(path)


def glyph_images() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    _, test = glyphs(None, train_images=48, test_images=20).load()
    return test.images, test.labels


def test_the_model_and_preprocess_give_the_error_that_was_tested(run):
    images, labels = glyph_images()

    logits = run.model(run.preprocess(images))

    assert (logits.argmax(1).numpy() != labels).mean() == pytest.approx(run.result.test_error)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item()
    assert loss == pytest.approx(run.result.test_loss, rel=1e-5)
    assert not run.model.training


def test_tested_weights_are_averaged_and_the_last_are_not(run):
    assert digest_of(run.model.state_dict()) == run.result.weights_sha256
    assert digest_of(run.last_model.state_dict()) != run.result.weights_sha256
    state = torch.load(newest(run) / "state.pt", weights_only=True)
    assert digest_of(run.last_model.state_dict()) == digest_of(state["model"])


def newest(run: LoadedRun) -> Path:
    return sorted((run.path / "checkpoints").glob("step-*"))[-1]


def test_the_best_weights_are_those_of_the_lowest_validation_error(run):
    errors = [line["validation_error"] for line in run.history]
    epoch = run.history[errors.index(min(errors))]
    state = torch.load(
        run.path / "checkpoints" / f"step-{epoch['step']:08d}" / "state.pt", weights_only=True
    )

    assert digest_of(run.best_model.state_dict()) == digest_of(state["average"]["module"])


def test_evaluate_is_the_command_lines(run, path):
    evaluation = run.evaluate()

    assert evaluation.test == run.result.test
    assert evaluation.weights_sha256 == run.result.weights_sha256
    assert (evaluation.step, evaluation.steps, evaluation.test_images) == (6, 6, 20)
    assert cifarzoo.evaluate(path) == evaluation
    assert repr(evaluation) == (
        f"Evaluation(test_error={evaluation.test_error:.4g}, "
        f"test_loss={evaluation.test_loss:.4g}, test_images=20, step=6, steps=6, "
        f"path={str(path)!r})"
    )


def test_nothing_in_the_folder_changes(run, path):
    before = digest_of_folder(path)

    run.evaluate()
    assert [run.model, run.last_model, run.best_model, run.history, run.classes, run.result]

    assert digest_of_folder(path) == before


def test_a_run_has_names(path):
    out = path.parents[1]
    identity = path.name.rpartition("-")[2]

    for name in ("latest", identity, identity[:2], path, str(path), cifarzoo.load_run(path)):
        assert cifarzoo.load_run(name, out=out).path == path
    assert repr(cifarzoo.load_run(path)) == f"LoadedRun({str(path)!r}, done)"


def test_it_says_what_it_is(run):
    assert run.classes[:2] == ("disc", "ring")
    assert run.config.text() == (run.path / "config.gin").read_text()
    assert run.status == "done"
    assert [line["epoch"] for line in run.history] == [1, 2, 3]
    assert type(run.history[0]) is dict


def test_a_history_becomes_a_table_where_pandas_is(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"^history.to_pandas\(\) needs pandas, which is not inst"):
        run.history.to_pandas()

    monkeypatch.delitem(sys.modules, "pandas")
    import pandas as pd

    table = run.history.to_pandas()
    assert isinstance(table, pd.DataFrame)
    assert table["test_error"].tolist() == [line["test_error"] for line in run.history]


def test_what_a_run_lacks_is_said(tmp_path):
    plain = cifarzoo.train(TINY, set={"run.max_steps": 1}, out=tmp_path, progress=False)
    with pytest.raises(UsageError, match=r" has no best weights, which are chosen on valid"):
        cifarzoo.load_run(plain).best_model  # noqa: B018
    (plain.path / "run.json").write_text('{"status": "stopped"}')
    with pytest.raises(UsageError, match=r" has no result: it is stopped; cifarzoo.resume goes on"):
        cifarzoo.load_run(plain).result  # noqa: B018
    for step in (plain.path / "checkpoints").iterdir():
        for file in step.iterdir():
            file.unlink()
        step.rmdir()
    with pytest.raises(CheckpointError, match=r" has no checkpoint yet$"):
        cifarzoo.load_run(plain).model  # noqa: B018


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (3, r"^the run is of the type int; expected a path, 'latest', the start of an id, or a re"),
        ("nope", r"^no run 'nope' in .*; the latest is "),
    ],
)
def test_a_run_that_is_none_is_refused(path, name, message):
    with pytest.raises(UsageError, match=message):
        cifarzoo.load_run(name, out=path.parents[1])


# Preprocess


def test_every_form_of_an_image_is_prepared_alike(run):
    images, _ = glyph_images()
    wanted = run.preprocess(images)
    pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in images]
    tensors = torch.from_numpy(images)

    assert (wanted.shape, wanted.dtype) == ((20, 3, 32, 32), torch.float32)
    for given in (tensors, pictures, list(images), list(tensors), [images[0], *pictures[1:]]):
        assert torch.equal(run.preprocess(given), wanted)
    for one in (images[0], tensors[0], pictures[0]):
        assert torch.equal(run.preprocess(one), wanted[:1])
    gray = run.preprocess(pictures[0].convert("L"))
    assert torch.equal(gray, run.preprocess(pictures[0].convert("L").convert("RGB")))


def wrong(shape: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> Tensor:
    return torch.zeros(shape, dtype=dtype)


REFUSED: dict[str, tuple[Any, str]] = {
    "type": ("a.png", r"^the images are of the type str; expected uint8 tensors or arrays, PIL im"),
    "types": ([wrong((3, 32, 32)), "a"], r"^image 1 is of the type str; expected a uint8 tensor"),
    "none": ([], r"^there are no images in the list; expected one at least$"),
    "floats": (wrong((1, 3, 32, 32), torch.float32), r"^the images are float32; expected uint8, "),
    "size": (wrong((2, 3, 64, 64)), r"^the images are of the shape \(2, 3, 64, 64\); expected \(N"),
    "channels": (
        np.zeros((2, 32, 32, 3), np.uint8),
        r" \(2, 32, 32, 3\); expected \(N, 3, 32, 32\): the channels come first; .*\(0, 3, 1, 2\)$",
    ),
    "one of channels": (wrong((32, 32, 3)), r": the channels come first; .*permute\(2, 0, 1\)$"),
    "many": (wrong((1, 2, 3, 32, 32)), r"^the images are of the shape \(1, 2, 3, 32, 32\); expect"),
    "picture": (
        [Image.new("RGB", (64, 48))],
        r"^image 0 is 64 x 48 pixels; expected 32 x 32: image.resize\(\(32, 32\)\)$",
    ),
}


@pytest.mark.parametrize(("images", "message"), REFUSED.values(), ids=REFUSED)
def test_images_that_the_network_does_not_take_are_refused_in_words(run, images, message):
    with pytest.raises(UsageError, match=message):
        run.preprocess(images)


def test_a_network_that_needs_nchw_is_given_it(tmp_path):
    settings = {"run.channels_last": False, "run.max_steps": 1}
    run = cifarzoo.load_run(cifarzoo.train(TINY, set=settings, out=tmp_path, progress=False))

    assert run.preprocess(glyph_images()[0]).is_contiguous()


@pytest.mark.parametrize("weights", ["tested", "last", "average", "best"])
def test_the_weights_that_are_named_are_tested(run, weights):
    images, labels = glyph_images()
    networks = {
        "tested": run.model,
        "last": run.last_model,
        "average": run.average_model,
        "best": run.best_model,
    }

    tested = run.evaluate(weights=weights)

    logits = networks[weights](run.preprocess(images))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item()
    assert tested.test_loss == pytest.approx(loss, abs=1e-5)
    assert tested.weights == weights
    assert tested.weights_sha256 == digest_of(networks[weights].state_dict())


def test_best_last_and_average_are_three_networks(path):
    tested = {w: cifarzoo.evaluate(path, weights=w) for w in ("last", "average", "best")}

    assert tested["last"].weights_sha256 != tested["average"].weights_sha256
    assert tested["average"] == replace(cifarzoo.evaluate(path), weights="average")
    best = min(cifarzoo.load_run(path).history, key=lambda line: line["validation_error"])
    assert tested["best"].step == best["step"]


def test_weights_that_a_run_lacks_are_refused_in_words(run, tmp_path):
    plain = cifarzoo.train(TINY, set={"run.max_steps": 1}, out=tmp_path, progress=False)

    with pytest.raises(UsageError, match="has no averaged weights; expected a run with a regular"):
        cifarzoo.evaluate(plain, weights="average")
    with pytest.raises(UsageError, match="has no best weights, which are chosen on validation"):
        cifarzoo.evaluate(plain, weights="best")
    with pytest.raises(UsageError, match="weights is 'newest'; expected one of 'tested', 'last'"):
        run.evaluate(weights="newest")
