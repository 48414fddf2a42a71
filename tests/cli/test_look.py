"""``show`` and ``check``, as a user meets them."""

import json
import math
import re
from pathlib import Path

import pytest

from cifarzoo import config
from cifarzoo.components.plugins import catalogue
from tests.cli.small_run import CONFIG
from tests.command import invoke, refuse, succeed

# show COMPONENT


def test_show_says_what_a_component_is_and_what_it_takes(plugin):
    text = succeed("show", "sawtooth", "-p", plugin)
    for part in (
        "sawtooth  schedule",
        "Up slowly and down at once.",
        "Sawtooth (Nobody, 2026; arXiv:2601.00001).",
        "Differs from the paper: there is none.",
        "  teeth: int  required",
        "How often it falls, over the whole run.",
        "  steepness: float = 0.5",
        "  run.schedule = @sawtooth",
        "  sawtooth.steepness = 0.5",
        str(plugin),
    ):
        assert part in text
    assert "The factor." not in text


def test_show_json_says_the_same(plugin):
    card = json.loads(succeed("show", "sawtooth", "-p", plugin, "--json"))
    assert card["parameters"]["teeth"] == {
        "type": "int",
        "range": None,
        "default": None,
        "doc": "How often it falls, over the whole run.",
    }
    assert card["gin"].startswith("run.schedule = @sawtooth\n")
    assert card["kind"] == "schedule"


def test_show_run_lists_every_setting_of_a_run():
    text = succeed("show", "run")
    assert "batch_size: int = 128" in text
    assert "Images an optimizer step, over all ranks." in text


@pytest.mark.parametrize("name", sorted(catalogue().entries))
def test_what_show_gives_to_paste_passes_check(name, tmp_path):
    card = json.loads(succeed("show", name, "--json"))
    required = [p for p, about in card["parameters"].items() if about["default"] is None]
    path = tmp_path / "mine.gin"
    path.write_text(f"include 'quickstart.gin'\n{card['gin']}\n")
    result = invoke("check", path)
    if required:
        assert all(f"{name}.{parameter}" in result.stderr for parameter in required)
    else:
        assert result.exit_code == 0, result.output


def test_an_unknown_name_is_refused_with_what_was_meant():
    assert "no component 'shake_shak'; did you mean shake_shake?" in refuse("show", "shake_shak")
    assert "no component 'quikstart'; did you mean quickstart.gin?" in refuse("show", "quikstart")
    assert "cifarzoo ls lists them" in refuse("show", "xyzzy")


# show CONFIG


def test_a_recipe_is_shown_by_its_bare_name_and_a_component_of_that_name_first():
    assert "kind" in json.loads(succeed("show", "pyramid", "--json"))
    assert "plan" in json.loads(succeed("show", "autoaugment_wrn28_10", "--json"))


def test_show_config_json_has_the_promised_keys():
    shown = json.loads(succeed("show", "wrn26_10.gin", "--json"))
    assert shown["num_parameters"] == 38_557_770
    assert shown["steps"] == 200 * (50_000 // 256)
    assert shown["weight_decay"]["covered"]["values"] == 38_529_712 + 2 * 8_976
    assert shown["bindings"]["architecture.wrn26_10.dropout_rate"] == "0.3"
    assert shown["bindings"]["run.dataset"] == "@dataset.cifar10"
    assert shown["flops"] > 0


def test_show_config_text_is_the_config_again(tmp_path):
    text = succeed("show", "wrn26_2.gin", "-s", "run.epochs=3")
    path = tmp_path / "again.gin"
    path.write_text(text)
    assert "1,555,658 parameters" in text
    assert config.load(str(path)).text() == config.load("wrn26_2.gin", sets=["run.epochs=3"]).text()


def test_show_config_has_every_value_and_where_it_is_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.gin").write_text("include 'quickstart.gin'\n\nsgd.lr = 0.2\n")
    arguments = ("show", "mine.gin", "-s", "run.seed=3")

    lines = [" ".join(line.split()) for line in succeed(*arguments).splitlines()]
    values = json.loads(succeed(*arguments, "--json"))["values"]

    assert "optimizer.sgd.lr = 0.2 # mine.gin:3" in lines
    assert "run.seed = 3 # --set 'run.seed=3'" in lines
    assert any(
        re.fullmatch(r"optimizer.sgd.momentum = 0.9 # \S*quickstart.gin:\d+", line)
        for line in lines
    )
    assert "# schedule.cosine.final = 0.0 # default of cosine" in lines
    assert "# architecture.resnet8.depth = 8 # fixed by resnet8" in lines
    assert values["optimizer.sgd.lr"] == {
        "source": "0.2", "origin": "mine.gin:3", "is_default": False,
    }  # fmt: skip
    assert values["schedule.cosine.final"]["is_default"]


@pytest.mark.parametrize("max_steps", [100, 750])
def test_show_config_says_which_rates_the_steps_will_see(max_steps):
    arguments = ("show", "quickstart", "-s", f"run.max_steps={max_steps}", "-s", "run.epochs=6")
    arguments += ("-s", "cosine.warmup_epochs=0.0")

    seen = json.loads(succeed(*arguments, "--json"))["schedule"]

    lowest = 0.3 * (1 + math.cos(math.pi * (max_steps - 1) / max_steps)) / 2
    assert (seen["name"], seen["steps"]) == ("cosine", max_steps)
    assert seen["first"] == seen["highest"] == [1, 0.3]
    assert seen["last"] == [max_steps, pytest.approx(lowest, rel=1e-9)]
    assert f"cosine over {max_steps} steps: rate 0.3 at the first, " in succeed(*arguments)


# check


def test_check_says_in_one_line_that_a_config_is_fine():
    (line,) = succeed("check", "wrn26_10.gin").splitlines()
    assert line.startswith("wrn26_10.gin: fine")
    assert "cifar10" in line


def test_check_says_every_problem_of_every_config_a_line_each(tmp_path):
    path = tmp_path / "bad.gin"
    path.write_text("include 'quickstart.gin'\nrun.epoch = 3\nresnet8.stem = 2\n")
    result = invoke("check", path, "wrn26_10.gin", "wrn2610.gin")
    assert result.exit_code == 2
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()[:2]] == [
        f"{path}:2",
        f"{path}:3",
    ]
    assert "did you mean wrn26_10.gin?" in result.stderr
    assert "wrn26_10.gin: fine" in result.stdout


def test_check_as_json_has_a_verdict_for_each_config():
    result = invoke("check", "quickstart.gin", "wrn2610.gin", "--json")

    fine, missing = json.loads(result.stdout)
    assert (fine["config"], fine["fine"], fine["problems"]) == ("quickstart.gin", True, [])
    assert "resnet8" in fine["components"]
    assert not missing["fine"]
    assert "did you mean wrn26_10.gin?" in missing["problems"][0]
    assert (result.exit_code, result.stderr) == (2, "")


def test_a_misspelt_setting_is_refused_with_what_was_meant():
    assert "did you mean lr?" in refuse("check", "quickstart.gin", "-s", "sgd.lrr=0.1")


@pytest.mark.parametrize(
    ("name", "text", "is_said"),
    [
        ("quickstart.gin", CONFIG, True),
        ("quickstart", CONFIG, True),
        ("./quickstart.gin", CONFIG, False),
        ("small.gin", CONFIG, False),
        ("mine.gin", "include 'quickstart.gin'\n", True),
    ],
)
def test_a_file_that_hides_a_recipe_is_said(here, name, text, is_said):
    (here / "quickstart.gin").write_text(CONFIG)
    (here / f"{name.removesuffix('.gin')}.gin").write_text(text)
    hidden = "warning: quickstart.gin is read, and not the packaged recipe of that name\n"

    for command in ("check", "show"):
        said = invoke(command, name)
        assert said.exit_code == 0
        assert (hidden in said.stderr) == is_said
    assert (hidden in invoke("run", name, "-s", "run.max_steps=1").stderr) == is_said
