"""``cifarzoo reproduce``, as a user meets it."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cifarzoo.cli.app import app
from cifarzoo.config import files
from cifarzoo.results import tables
from cifarzoo.run_folders.folder import RunFolder

RECIPE = """# A run of two seconds.
run.architecture = @resnet8
run.dataset = @glyphs
glyphs.train_images = 128
glyphs.test_images = 40
run.optimizer = @sgd
sgd.lr = 0.05
run.schedule = @cosine
run.batch_size = 16
run.epochs = 4
"""
TABLE = """
title = "Tiny"
source = "A table of the tests"
deviations = ["Nothing of it was ever published."]

[defaults]
dataset = "cifar10"
rule = "mean"
n = 5

[rows.small]
model = "ResNet-8"
error = "50.0"
recipe = "small.gin"

[rows.real]
model = "ResNet-8 on CIFAR-10"
error = "40.0"
recipe = "small.gin"
sets = ["run.dataset=@cifar10"]

[rows.other]
model = "Something else"
error = "1.0"
lacks = "a network that nobody has written"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's with a recipe, and a table that has it."""
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "tiny.toml").write_text(TABLE)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "small.gin").write_text(RECIPE)
    monkeypatch.setattr(files, "recipe_folders", lambda: [tmp_path / "recipes"])
    monkeypatch.setattr(tables, "FOLDER", tmp_path / "published")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIFARZOO_DATA", raising=False)
    return tmp_path


def reproduce(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["reproduce", *arguments])


def succeed(*arguments: str) -> str:
    done = reproduce(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def last_event(*arguments: str) -> dict[str, Any]:
    return json.loads(succeed(*arguments, "--json").splitlines()[-1])


def seed_folder(seed: int) -> RunFolder:
    return RunFolder(Path(f"runs/reproduce/tiny/small/full/seed{seed}"))


def test_a_file_of_the_current_folder_is_not_the_recipe_of_a_row():
    Path("small.gin").write_text(RECIPE.replace("sgd.lr = 0.05", "sgd.lr = 0.5"))

    shown = json.loads(succeed("tiny/small", "--dry-run", "--json"))

    assert shown["bindings"]["optimizer.sgd.lr"] == "0.05"


def test_a_component_that_replaces_ours_is_said(monkeypatch):
    Path("mine.py").write_text(
        "from cifarzoo import register\n@register.schedule(override=True)\n"
        "def cosine(*, warmup_epochs: float = 0.0, final: float = 0.0):\n    return lambda _: 1.0"
    )
    monkeypatch.setenv("CIFARZOO_PLUGINS", "mine.py")

    said = reproduce("tiny/small", "--dry-run").stderr

    assert "warning: cosine is that of mine.py, in the place of cifarzoo's own: this is not" in said


def test_seeds_are_run_and_put_beside_the_published_number():
    found = last_event("tiny/small", "--seeds", "2")
    errors = [100 * seed_folder(seed).record["test_error"] for seed in (0, 1)]
    assert (found["seeds"], found["errors"]) == ([0, 1], errors)
    assert found["mean"] == pytest.approx(sum(errors) / 2)
    assert found["difference"] == pytest.approx(sum(errors) / 2 - 50)
    assert found["verdict"] == "cannot tell: trained on glyphs (synthetic, not CIFAR)"
    assert [seed_folder(seed).config_text.count(f"run.seed = {seed}\n") for seed in (0, 1)] == [
        1,
        1,
    ]


def test_a_finished_row_asked_again_trains_nothing_and_more_seeds_are_added():
    succeed("tiny/small")
    before = (seed_folder(0).path / "run.json").stat().st_mtime_ns
    again = reproduce("tiny/small")
    assert again.exit_code == 0
    assert "epoch" not in again.stderr
    assert "ours        " in again.stdout
    assert last_event("tiny/small", "--seeds", "2,")["seeds"] == [0, 2]
    assert (seed_folder(0).path / "run.json").stat().st_mtime_ns == before


def test_an_interrupted_row_goes_on_with_the_same_command_to_the_same_bits(here):
    def interrupt() -> None:
        metrics = seed_folder(0).path / "metrics.jsonl"
        while not metrics.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    stopped = reproduce("tiny/small")
    watcher.join()
    assert stopped.exit_code == 75
    assert seed_folder(0).record["status"] == "stopped"
    assert "seed 0 stopped" in succeed("tiny")

    succeed("tiny/small")
    (here / "whole").mkdir()
    undisturbed = last_event("tiny/small", "-o", "whole")
    other = RunFolder(Path(undisturbed["runs"][0])).record
    assert seed_folder(0).record["weights_sha256"] == other["weights_sha256"]


def test_smoke_says_that_its_number_means_nothing_and_needs_no_data():
    done = reproduce("tiny/real", "--budget", "smoke")
    assert done.exit_code == 0
    assert "cifar10 is not there (see --data): on glyphs instead" in done.stderr
    assert "a smoke test of two steps: its error means nothing" in done.stdout
    assert "smoke on glyphs done" in succeed("tiny")


def test_people_see_ours_beside_the_published_number():
    succeed("tiny/small", "--seeds", "2")
    shown = succeed("tiny/small")
    assert "tiny/small  ResNet-8; mean of 5\n" in shown
    assert "published   50.0 %\n" in shown
    assert "mean of 2 seeds (0, 1); sd " in shown
    assert "Nothing of it was ever published." in shown
    assert "seed 1: runs/reproduce/tiny/small/full/seed1" in shown


def test_the_spread_of_five_seeds_is_split_and_what_is_missing_is_said():
    command = ("tiny/real", "--budget", "smoke", "--seeds", "5")
    found = last_event(*command)

    spread = found["spread"]
    assert (spread["seeds"], spread["test_images"], found["spread_unknown"]) == (5, 64, None)
    assert spread["test_set_variance"] == pytest.approx(found["sd"] ** 2)
    parts = spread["finite_sample_variance"] + (1 - 1 / 64) * spread["distribution_variance"]
    assert parts == pytest.approx(spread["test_set_variance"])
    alone = f"{spread['finite_sample_variance'] ** 0.5:.2f}"
    low, high = spread["distribution_sd_interval"]
    [line] = [line for line in succeed(*command).splitlines() if "spread " in line]
    assert f"{alone} " in line
    assert "64 test images give alone; " in line
    assert line.endswith(f"(95 % interval {low:.2f} to {high:.2f})")

    (Path(found["runs"][3]) / "predictions.npz").unlink()
    found = last_event(*command)
    assert found["spread"] is None
    assert found["spread_unknown"].startswith("cannot be split: seed 3: runs/reproduce/tiny/real")
    assert "cannot be split: seed 3: runs/reproduce/" in succeed(*command)
    assert "spread" not in succeed("tiny/real", "--budget", "smoke", "--seeds", "1", "-o", "other")


def test_the_list_has_every_row_with_what_was_run_of_it():
    lines = succeed().splitlines()
    assert lines[0] == "tiny  Tiny"
    rows = {line.split()[0]: line for line in lines if "tiny/" in line}
    assert list(rows) == ["tiny/small", "tiny/real", "tiny/other"]
    assert rows["tiny/small"].split()[1:3] == ["50.0", "%"]
    assert rows["tiny/small"].endswith("not run")
    assert rows["tiny/other"].endswith("lacks a network that nobody has written")


def test_the_list_as_json_is_an_object_a_row():
    rows = json.loads(succeed("--json"))
    assert [(row["row"], row["error"], row["status"]) for row in rows] == [
        ("tiny/small", 50.0, "not run"),
        ("tiny/real", 40.0, "not run"),
        ("tiny/other", 1.0, "lacks a network that nobody has written"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tny"], "no table 'tny'; did you mean tiny?"),
        (["tny/small"], "no table 'tny'; did you mean tiny?"),
        (["tiny/smal"], "tiny has no row 'smal'; did you mean small?"),
        (["tiny/other"], "tiny/other cannot be run yet: it lacks a network that nobody has"),
        (["tiny/o*"], "no row that can be run matches 'tiny/o*'; cifarzoo reproduce lists them"),
        (
            ["tiny", "--budget", "smoke"],
            "there is no row to run; name one, or all of them by 'tiny/*'",
        ),
        (["--seeds", "3"], "there is no row to run; name one, or all of them by '*/*'"),
        (["tiny/real"], "CIFAR-10 needs a folder: name it with --data DIR or CIFARZOO_DATA; "),
        (["tiny/real", "--data", "nowhere"], "there is no folder nowhere; "),
        (["tiny/small", "--seeds", "none"], "--seeds is 'none'; expected how many (3), from"),
        (["tiny/small", "--seeds", "0"], "--seeds is '0'; expected how many"),
        (["tiny/small", "--seeds", "1,1"], "--seeds is '1,1'; expected how many"),
        (["tiny/small", "--seeds", "4:4"], "--seeds is '4:4'; expected how many"),
        (["tiny/small", "--seeds", "99999999999"], "at most 1000"),
        (
            ["tiny/small", "--budget", "tiny"],
            "value for '--budget': 'tiny' is not one of 'smoke', 'short', 'full'; see cifarzoo",
        ),
        (["tiny/small", "-s", "sgd.lrr=1"], "sgd has no parameter 'lrr'; did you mean lr?"),
    ],
)
def test_what_cannot_be_run_is_one_line_exit_2_and_leaves_nothing(here, arguments, message):
    refused = reproduce(*arguments)
    assert refused.exit_code == 2
    [line] = refused.stderr.splitlines()
    assert message in line
    assert not list(here.glob("runs/**/config.gin"))


def test_a_pattern_runs_every_row_that_can_be_run():
    done = reproduce("tiny/*", "--budget", "smoke")
    assert done.exit_code == 0
    assert "warning: 1 row cannot be run yet: left out" in done.stderr
    statuses = [row["status"] for row in json.loads(succeed("--json"))]
    assert statuses[:2] == ["smoke on glyphs done"] * 2


def test_dry_run_shows_what_would_be_built_and_makes_nothing(here):
    shown = succeed("tiny/small", "--dry-run", "--seeds", "4,", "--budget", "short")
    assert "run.seed = 4 " in shown
    assert "run.epochs = 1 " in shown
    assert "# network" in shown
    assert not (here / "runs").exists()


def test_a_row_run_with_other_settings_is_refused_with_the_difference():
    succeed("tiny/small")
    refused = reproduce("tiny/small", "-s", "sgd.lr=0.1")
    assert refused.exit_code == 2
    assert "holds a run of another config: optimizer.sgd.lr is 0.05 there and 0.1 here" in (
        refused.stderr
    )


def test_ranks_of_a_launcher_train_one_seed_a_command(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    refused = reproduce("tiny/small", "--seeds", "3")
    assert refused.exit_code == 2
    assert "expected one seed a command where a launcher starts the ranks" in refused.stderr
    assert reproduce("tiny/small", "--seeds", "3,").exit_code == 0
