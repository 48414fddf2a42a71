"""What the runs of a published row are, and what may be said of them."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cifarzoo.errors import UsageError
from cifarzoo.results.reproduction import attempts, config_of, folder_of, outcome, plan_reproduction
from cifarzoo.results.tables import Row

GENUINE = {"data": {"title": "CIFAR-10"}}


def a_row(**changes: Any) -> Row:
    settings = {
        "table": "flax_gpu",
        "name": "wrn26_10",
        "model": "WRN-26-10",
        "error": Decimal("4.45"),
        "rule": "last epoch",
        "n": 1,
        "recipe": "wrn26_10.gin",
        "dataset": "cifar10",
    }
    return Row(**(settings | changes))


def finish(runs: Path, seed: int, error: float, row: Row | None = None, **record: Any) -> Path:
    """A run's folder as training leaves it."""
    row = row or a_row()
    path = folder_of(runs, row, "full", seed)
    path.mkdir(parents=True)
    (path / "config.gin").write_text(config_of(row, "full", [f"run.seed={seed}"]).text())
    text = json.dumps({"status": "done", "test_error": error / 100, **GENUINE, **record})
    (path / "run.json").write_text(text)
    return path


def said(runs: Path, row: Row | None = None, **settings: Any) -> str:
    wanted = plan_reproduction(
        row or a_row(), [0], data=None, runs=runs, **{"budget": "full", **settings}
    )
    return wanted.outcome()[0].verdict


def test_a_row_is_of_the_packaged_recipe_whatever_lies_in_the_current_folder(tmp_path, monkeypatch):
    packaged = config_of(a_row(), "full").text()
    monkeypatch.chdir(tmp_path)
    Path("wrn26_10.gin").write_text("include 'quickstart.gin'\n")
    Path("flax2020.gin").write_text("include 'quickstart.gin'\n")

    assert config_of(a_row(), "full").text() == packaged


def test_one_seed_cannot_tell(tmp_path):
    finish(tmp_path, 0, 4.45)
    assert said(tmp_path) == "one seed: cannot tell"


def test_seeds_around_the_published_number_are_within_the_interval(tmp_path):
    for seed, error in enumerate([4.3, 4.5, 4.6]):
        finish(tmp_path, seed, error)
    assert said(tmp_path) == "within the interval"


@pytest.mark.parametrize(("shift", "direction"), [(0.7, "higher"), (-0.7, "lower")])
def test_seeds_far_from_it_differ(tmp_path, shift, direction):
    for seed, error in enumerate([4.44, 4.45, 4.46]):
        finish(tmp_path, seed, error + shift)
    assert said(tmp_path) == f"differs: ours is 0.70 points {direction}"


def test_the_mean_of_many_runs_is_held_to_a_narrower_interval(tmp_path):
    for seed, error in enumerate([4.3, 4.5, 4.6]):
        finish(tmp_path, seed, error)
    tried = attempts(tmp_path, a_row(), "full")
    widths = {}
    for rule, n in (("last epoch", 1), ("mean", 5), ("median", 5)):
        low, high = outcome(a_row(rule=rule, n=n), "full", tried).comparison.expected
        widths[rule] = high - low
    assert widths["mean"] < widths["median"] < widths["last epoch"]


def test_digits_that_were_not_published_widen_the_interval(tmp_path):
    for seed, error in enumerate([4.35, 4.45, 4.55]):
        finish(tmp_path, seed, error)
    tried = attempts(tmp_path, a_row(), "full")
    widths = []
    for published in ("4.45", "4.5"):
        low, high = outcome(a_row(error=Decimal(published)), "full", tried).comparison.expected
        widths.append(high - low)
    assert widths[1] - widths[0] == pytest.approx(0.1 - 0.01)


def test_other_data_cannot_tell_whatever_the_numbers_are(tmp_path):
    for seed in range(3):
        finish(tmp_path, seed, 4.45, data={"title": "CIFAR-10 (JPEG)"})
    assert said(tmp_path) == "cannot tell: trained on CIFAR-10 (JPEG)"


@pytest.mark.parametrize(
    ("budget", "words"), [("short", "a twentieth of the epochs"), ("smoke", "means nothing")]
)
def test_shorter_budgets_say_that_they_are_no_reproduction(tmp_path, budget, words):
    finish(tmp_path, 0, 4.45)
    tried = attempts(tmp_path, a_row(), "full")
    assert words in outcome(a_row(), budget, tried).verdict


def test_a_row_with_test_time_augmentation_is_compared_with_ours_of_the_same_kind(tmp_path):
    row = a_row(recipe="airbench94.gin", tta=True)
    finish(tmp_path, 0, 7.5, row, tta_test_error=0.06)
    [attempt] = attempts(tmp_path, row, "full")
    assert attempt.error == pytest.approx(6.0)


def test_seeds_are_counted_by_number_and_other_folders_are_not(tmp_path):
    for seed in (10, 2, 0):
        finish(tmp_path, seed, 4.4)
    finish(tmp_path, 1, 4.4).rename(folder_of(tmp_path, a_row(), "full", 0).parent / "seed-old")
    assert [attempt.seed for attempt in attempts(tmp_path, a_row(), "full")] == [0, 2, 10]


def test_a_run_that_is_not_done_or_broken_counts_for_nothing(tmp_path):
    finish(tmp_path, 0, 4.4, status="stopped")
    (finish(tmp_path, 1, 4.4) / "run.json").write_text("{")
    finish(tmp_path, 2, 4.4)
    tried = attempts(tmp_path, a_row(), "full")
    assert [attempt.status for attempt in tried] == ["stopped", "unreadable", "done"]
    assert [attempt.seed for attempt in outcome(a_row(), "full", tried).done] == [2]


def test_seeds_of_other_settings_are_left_out_and_named(tmp_path):
    for seed in range(3):
        finish(tmp_path, seed, 4.4)
    path = folder_of(tmp_path, a_row(), "full", 1) / "config.gin"
    path.write_text(path.read_text().replace("lr = 0.1", "lr = 0.2"))
    wanted = plan_reproduction(a_row(), [0], budget="full", data=None, runs=tmp_path)
    found, others = wanted.outcome()
    assert ([attempt.seed for attempt in found.done], others) == ([0, 2], [1])


def test_what_is_done_waits_no_more_and_another_config_is_refused(tmp_path):
    finish(tmp_path, 1, 4.4)
    finish(tmp_path, 2, 4.4, status="stopped")
    wanted = plan_reproduction(a_row(), [0, 1, 2], budget="full", data=None, runs=tmp_path)
    assert wanted.waiting() == [0, 2]
    sets = ["sgd.lr=0.2"]
    changed = plan_reproduction(a_row(), [1], budget="full", data=None, runs=tmp_path, sets=sets)
    with pytest.raises(UsageError, match=r"holds a run of another config: optimizer.sgd.lr is 0.1"):
        changed.waiting()


def test_a_row_without_a_recipe_says_what_it_lacks(tmp_path):
    row = a_row(recipe=None, lacks="a policy that was searched for")
    with pytest.raises(UsageError, match="flax_gpu/wrn26_10 cannot be run yet: it lacks a policy"):
        plan_reproduction(row, [0], budget="full", data=None, runs=tmp_path)


def test_a_smoke_test_without_the_dataset_is_on_drawn_shapes(tmp_path):
    wanted = plan_reproduction(a_row(), [0], budget="smoke", data=tmp_path, runs=tmp_path)
    assert wanted.kind == "smoke-glyphs"
    assert "run.dataset = @dataset.glyphs\n" in wanted.configs[0].text()
