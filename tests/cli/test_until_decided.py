"""``cifarzoo compare A.gin B.gin --until-decided``, trained for real on a few drawn shapes."""

import json
from pathlib import Path

import pytest

from tests.command import refuse, succeed

TINY = """
run.architecture = @resnet8
run.dataset = @glyphs
glyphs.train_images = 1000
glyphs.test_images = 200
run.optimizer = @sgd
sgd.lr = 0.2
run.schedule = @constant
run.epochs = 3
run.batch_size = 32
"""


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """One that knows next to nothing, and one that has learned."""
    monkeypatch.chdir(tmp_path)
    Path("short.gin").write_text(f"{TINY}run.max_steps = 1\n")
    Path("long.gin").write_text(TINY)
    return ["short.gin", "long.gin"]


def decided(*arguments):
    *_, verdict = succeed("compare", *arguments, "--until-decided", "--json").splitlines()
    return json.loads(verdict)


def test_it_trains_until_it_can_tell_and_goes_on_where_it_was_stopped(configs, tmp_path):
    first = decided(*configs, "--max-seeds", "3")
    assert first["decision"] == "cannot tell"
    assert [seed for seed, *_ in first["pairs"]] == [0, 1, 2]
    done = Path("runs/compare/short-long/long/seed2/run.json").stat().st_mtime_ns

    whole = decided(*configs)
    assert whole["decision"] == "better"
    assert whole["pairs"][:3] == first["pairs"]
    assert whole["interval"][1] < 0
    assert len(whole["pairs"]) >= 5
    assert Path("runs/compare/short-long/long/seed2/run.json").stat().st_mtime_ns == done

    assert decided(*configs) == whole
    text = succeed("compare", *configs, "--until-decided")
    assert "long: better by" in text
    assert f"{len(whole['pairs'])} of at most 30" in text
    finished = json.loads(succeed("compare", "runs/compare/short-long", "--json"))["groups"]
    assert {group["name"]: group["n"] for group in finished}["long"] == len(whole["pairs"])


def test_a_run_of_other_settings_in_the_way_is_refused(configs):
    decided(*configs, "--max-seeds", "1")
    line = refuse("compare", *configs, "--until-decided", "-s", "sgd.momentum=0.4")
    assert "runs/compare/short-long/short/seed0 holds a run of another config" in line
    Path("long.gin").write_text(f"{TINY}sgd.momentum = 0.5\n")
    line = refuse("compare", *configs, "--until-decided")
    assert "runs/compare/short-long/long/seed0 holds a run of another config" in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["short.gin"], "given 1 config; expected two"),
        (["short.gin", "short.gin"], "both configs are called 'short'; give one another name"),
        (["short.gin", "same.gin"], "short and same are the same run but for the seed"),
        (["short.gin", "other.gin"], "the configs are of two datasets; errors on them can't be"),
        (["short.gin", "long.gin", "--effect", "0"], "--effect is 0.0; expected a number above 0"),
        (["short.gin", "long.gin", "--max-seeds", "0"], "--max-seeds is 0; expected 1 to 1,000"),
    ],
)
def test_what_makes_no_study_is_one_line(configs, arguments, says):
    Path("same.gin").write_text("include 'short.gin'\nrun.seed = 3\n")
    Path("other.gin").write_text("include 'short.gin'\nrun.dataset = @cifar10\n")
    line = refuse("compare", *arguments, "--until-decided")
    assert line.startswith(says)
    assert not Path("runs").exists()


@pytest.mark.parametrize("option", [("--effect", "0.1"), ("--max-seeds", "3"), ("--nproc", "2")])
def test_its_options_have_no_effect_elsewhere(configs, option):
    line = refuse("compare", *configs, *option)
    assert line == f"{option[0]} has no effect without --until-decided\n"
