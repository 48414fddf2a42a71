"""``cifarzoo compare`` of finished runs, as a user meets it."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from cifarzoo import config
from cifarzoo.config.effective import resolved_text
from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.run_folders.predictions import Predictions, keep_predictions
from tests.command import invoke, refuse, succeed

SEEDS = {0: 5.1, 1: 5.3, 2: 5.2, 3: 5.0, 4: 5.25}
DATA = {"title": "CIFAR-10", "sha256": "a" * 64}


@pytest.fixture
def finish(tmp_path):
    """``finish(path, seed, error, sets)``: a run's folder as training leaves it."""

    def make(where: str, seed: int, error: float, *sets: str, **record: object) -> Path:
        path = tmp_path / where / f"seed{seed}"
        path.mkdir(parents=True)
        loaded = config.load("resnet20.gin", sets=[f"run.seed={seed}", *sets])
        (path / "config.gin").write_text(loaded.text())
        (path / "resolved.gin").write_text(resolved_text(loaded))
        done = {"status": "done", "config": "resnet20", "test_error": error / 100, "data": DATA}
        (path / "run.json").write_text(json.dumps(done | record))
        return path

    return make


@pytest.fixture
def study(tmp_path, finish):
    """Two configs on five seeds, the second better by 0.4 on each but for a little."""
    for seed, error in SEEDS.items():
        finish("study/base", seed, error)
        finish("study/high", seed, error - 0.4 + 0.02 * (seed - 2), "sgd.lr=0.2")
    return tmp_path / "study"


def compared(*arguments):
    return json.loads(succeed("compare", *arguments, "--json"))


def test_groups_are_told_apart_by_what_differs_and_paired_by_seed(study):
    lines = succeed("compare", study).splitlines()
    heading = next(line for line in lines if "verdict" in line)
    assert heading.split() == ["n", "test", "error", "sd", "difference", "paired", "verdict"]
    assert any(line.split()[0] == "sgd.lr" for line in lines)
    base, high = lines[-2:]
    assert base.startswith("resnet20 (sgd.lr=0.1)")
    assert base.endswith("5.17 %  0.12                      baseline")
    assert "-0.40" in high
    assert "r 0.9" in high
    assert high.endswith("better by 0.40 (0.36 to 0.44)")


def test_json_has_every_number(study):
    found = compared(study / "base", study / "high")
    base, high = found["groups"]
    assert found["metric"] == "test_error"
    assert found["differing"] == {"optimizer.sgd.lr": ["0.1", "0.2"]}
    assert {int(seed): n for seed, n in base["numbers"].items()} == pytest.approx(SEEDS)
    assert high["is_paired"]
    assert high["verdict"] == "better"
    assert high["difference"] == pytest.approx(-0.4)
    assert high["p"] == high["p_holm"]
    assert high["p_dunnett"] < 0.05
    assert high["runs"]["3"] == str(study / "high/seed3")


def test_the_first_that_is_named_is_the_baseline(study):
    found = compared(study / "high", study / "base")
    assert found["groups"][1]["verdict"] == "worse"


def test_a_default_that_is_written_out_makes_no_group_of_its_own(tmp_path, finish):
    finish("runs", 0, 5.0)
    finish("other", 1, 5.1, "run.clip_norm=None", "run.checkpoint_seconds=5.0")
    [group] = compared(tmp_path / "runs", tmp_path / "other")["groups"]
    assert group["n"] == 2


def test_what_is_left_out_is_said(tmp_path, finish):
    finish("runs", 0, 5.0)
    finish("runs", 1, 5.2)
    finish("runs", 2, 5.1, status="stopped")
    finish("again", 1, 5.4, started="2026-01-01T00:00:00+00:00")
    (tmp_path / "runs/seed0/resolved.gin").unlink()
    (tmp_path / "broken/seed5").mkdir(parents=True)
    (tmp_path / "broken/seed5/config.gin").write_text("")
    (tmp_path / "broken/seed5/run.json").write_text("{")
    result = invoke("compare", tmp_path, "--json")
    notes = json.loads(result.stdout)["notes"]
    assert result.exit_code == 0
    assert sorted(note.partition(tmp_path.as_posix())[2] for note in notes) == [
        "/broken/seed5/run.json is not JSON: EOF while parsing an object at line 1 column 1; "
        "put back what the run wrote",
        "/runs/seed0 was trained by a cifarzoo that kept no defaults",
        "/runs/seed1 is of seed 1 as " + f"{tmp_path}/again/seed1, which is newer",
        "/runs/seed2 is stopped, not done",
    ]


def test_runs_of_one_group_by_two_codes_are_warned_of(tmp_path, finish):
    for seed in range(2):
        finish("runs", seed, 5.0 + seed, cifarzoo={"version": "0.1.0", "sha256": f"{seed}" * 64})
    [note] = compared(tmp_path)["notes"]
    assert note == "the runs of resnet20 were trained by 2 versions of cifarzoo's code"


def test_plugins_of_other_code_make_other_groups(tmp_path, finish):
    for seed in range(2):
        plugin = {"origin": "mine.py", "path": "mine.py", "sha256": f"{seed}" * 64}
        finish("runs", seed, 5.0, plugins=[plugin])
    assert set(compared(tmp_path)["differing"]) == {"plugin mine.py"}


def test_another_metric_is_compared(tmp_path, finish):
    finish("a", 0, 5.0, tta_test_error=0.04)
    finish("b", 0, 5.0, "sgd.lr=0.3", tta_test_error=0.03)
    found = compared(tmp_path, "--metric", "tta_test_error")
    assert [group["mean"] for group in found["groups"]] == pytest.approx([4.0, 3.0])
    assert found["groups"][1]["words"] == "cannot tell: one seed"


def test_runs_on_other_data_are_refused(tmp_path, finish):
    finish("a", 0, 5.0)
    finish("b", 0, 5.0, data={"title": "CIFAR-10 (JPEG)", "sha256": "b" * 64})
    line = refuse("compare", str(tmp_path))
    assert line.startswith("these runs are of 2 datasets, CIFAR-10 (JPEG), bbbbbbbbbbbb…; CIFAR-10")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "no run 'nowhere' in runs, which has none"),
        (["a.gin"], "given 1 config; expected two, or runs and folders of runs"),
        (["a", "-p", "x.py"], "--plugin has no effect on runs, which keep their own"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert refuse("compare", *arguments) == f"{says}\n"


def test_a_metric_that_no_run_has_is_named_with_those_there_are(study):
    line = refuse("compare", str(study / "base/seed0"), "--metric", "validation_error")
    assert line == f"left out: {study}/base/seed0 has no validation_error; it has test_error\n"


def test_names_of_others_are_shown_as_text(tmp_path, finish):
    finish("a", 0, 5.0, config="[red]x[/red]\x1b[2J")
    finish("a", 1, 5.0, config="[red]x[/red]\x1b[2J")
    text = succeed("compare", tmp_path)
    assert "[red]x[/red]" in text
    assert "\x1b" not in text


def test_two_single_runs_are_compared_on_the_same_images(tmp_path, finish):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 1000).astype(np.int32)
    rights = {}
    for name, error, sets in (("a", 0.3, []), ("b", 0.2, ["sgd.lr=0.3"])):
        is_wrong = rng.random(1000) < error
        predicted = np.where(is_wrong, (labels + 1) % 10, labels).astype(np.int32)
        logits = np.eye(10, dtype=np.float16)[predicted]
        path = finish(name, 0, 100 * float(np.mean(predicted != labels)), *sets)
        keep_predictions(
            RunFolder(path),
            Predictions(
                indices=np.arange(1000, dtype=np.int32),
                labels=labels,
                logits=logits,
                predicted=predicted,
            ),
        )
        rights[name] = predicted == labels
    found = compared(tmp_path)["groups"][1]["mcnemar"]
    alone = [int(np.sum(rights[x] & ~rights[y])) for x, y in ("ab", "ba")]
    assert [found["baseline_alone"], found["candidate_alone"]] == alone
    assert found["p"] == pytest.approx(binomtest(alone[0], sum(alone)).pvalue)
    last = succeed("compare", tmp_path).splitlines()[-1]
    assert f"{alone[1]} of 1,000 test images are right by it alone, {alone[0]} by the" in last
