"""``cifarzoo compare A.gin B.gin``, as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import invoke, refuse, succeed

BASE = """
run.architecture = @wide_resnet
run.dataset = @glyphs
run.optimizer = @sgd
sgd.lr = 0.1
run.schedule = @cosine
"""


@pytest.fixture
def configs(tmp_path: Path):
    def write(**texts: str) -> list[Path]:
        paths = [tmp_path / f"{name}.gin" for name in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text)
        return paths

    return write


def compared(first: Path, second: Path) -> dict[str, tuple[str | None, str | None]]:
    def source(setting) -> str | None:
        return setting and setting["source"]

    found = json.loads(succeed("compare", first, second, "--json"))
    return {each["name"]: (source(each["first"]), source(each["second"])) for each in found}


def test_a_variant_is_one_differing_setting(configs):
    paths = configs(flax=BASE, paper=f"{BASE}wide_resnet.variant = 'paper'\n")
    assert compared(*paths) == {
        "architecture.wide_resnet.variant": ("'flax2020'", "'paper'"),
    }


def test_the_published_recipes_differ_in_a_handful_of_settings():
    differing = compared(Path("wrn26_10.gin"), Path("wrn26_6_ss.gin"))
    assert differing == {
        "run.architecture": ("@architecture.wrn26_10", "@architecture.wrn26_6_ss"),
        "run.regularizers": ("()", "[@regularizer.shake_shake]"),
        "architecture.wrn26_10.dropout_rate": ("0.3", None),
    }


def test_a_default_that_is_written_out_is_no_difference(configs):
    paths = configs(short=BASE, long=f"{BASE}cosine.final = 0.0\nrun.clip_norm = None\n")
    assert compared(*paths) == {}
    assert succeed("compare", *paths) == f"{paths[0]} and {paths[1]} are the same run\n"


def test_a_macro_and_an_include_are_seen_through(configs):
    other = BASE.replace("0.1", "0.5")
    _, first, second = configs(
        base=BASE, first="include 'base.gin'\nsgd.lr = %x\nx = 0.5\n", second=other
    )
    assert compared(first, second) == {}


def test_people_get_a_line_a_setting_with_both_values(configs):
    scoped = BASE.replace("@wide", "@narrow/wide")
    paths = configs(
        one=BASE, two=f"{scoped}sgd.momentum = 0.5\nnarrow/wide_resnet.widen_factor = 2\n"
    )
    lines = [line.split() for line in succeed("compare", *paths).splitlines()]
    assert lines == [
        [str(path) for path in paths],
        ["run.architecture", "@wide_resnet", "@narrow/wide_resnet"],
        ["narrow/wide_resnet.widen_factor", "10", "2"],
        ["sgd.momentum", "0.9", "0.5"],
        ["3", "settings", "differ"],
    ]


def test_one_setting_differs_in_the_singular(configs):
    paths = configs(one=BASE, two=f"{BASE}sgd.momentum = 0.5\n")
    assert succeed("compare", *paths).splitlines()[-1] == "1 setting differs"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BASE.replace("@cosine", "@cosin"), "no component 'cosin'; did you mean cosine?"),
        (f"{BASE}sgd.momntum = 1\n", "sgd has no parameter 'momntum'; did you mean momentum?"),
    ],
)
def test_a_config_with_a_mistake_is_refused_with_its_line(configs, text, line):
    good, bad = configs(good=BASE, bad=text)
    result = invoke("compare", good, bad)
    assert result.exit_code == 2
    assert line in result.stderr
    assert "bad.gin:" in result.stderr


def test_a_config_that_is_not_there_is_named():
    result = invoke("compare", "wrn26_10.gin", "wrn26_11.gin")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no config 'wrn26_11.gin'" in result.stderr
    assert "did you mean wrn26_10.gin?" in result.stderr


def test_one_config_alone_is_refused_in_a_line():
    said = refuse("compare", "quickstart.gin")
    assert said == "given 1 config; expected two, or runs and folders of runs\n"


def test_a_setting_is_of_both_configs(configs):
    first, second = configs(one=BASE, two=BASE.replace("@cosine", "@constant"))
    same = succeed("compare", first, second, "-s", "run.schedule=@schedule.constant")
    assert same == f"{first} and {second} are the same run\n"


def test_recipes_go_by_their_bare_names_and_one_may_come_from_standard_input():
    assert succeed("compare", "quickstart", "resnet20") != ""
    command = [sys.executable, "-m", "cifarzoo", "compare", "-", "quickstart"]
    done = subprocess.run(
        command, input="include 'quickstart.gin'\n", capture_output=True, text=True, check=True
    )
    assert done.stdout == "- and quickstart are the same run\n"


def test_differences_are_written_for_other_programs(configs):
    first, second = configs(one=BASE, two=BASE.replace("@cosine", "@constant"))
    md = succeed("compare", first, second, "--format", "md").splitlines()
    assert md[0].split() == ["|", "setting", "|", str(first), "|", str(second), "|"]
    assert md[2].split() == ["|", "run.schedule", "|", "@cosine", "|", "@constant", "|"]
    csv = succeed("compare", first, second, "--format", "csv").splitlines()
    assert csv[0] == f"setting,{first},{second}"
    assert csv[1] == "run.schedule,'@schedule.cosine,'@schedule.constant"
