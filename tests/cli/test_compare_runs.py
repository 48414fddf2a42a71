"""``cifarzoo compare`` of finished runs, as a user meets it."""

import json
import sys

import numpy as np
import pytest
from scipy.stats import binomtest

from cifarzoo.run_folders.folder import RunFolder
from cifarzoo.run_folders.predictions import Predictions, keep_predictions
from tests import finished_runs
from tests.command import invoke, refuse, succeed
from tests.full_disk import no_file_larger_than

SEEDS = {0: 5.1, 1: 5.3, 2: 5.2, 3: 5.0, 4: 5.25}


@pytest.fixture
def finish(tmp_path):
    """``finish(where, seed, error, sets)``: a run's folder as training leaves it."""
    return lambda where, *arguments, **more: finished_runs.finish(
        tmp_path / where, *arguments, **more
    )


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
    assert base.startswith("base ")
    assert base.endswith("5.17 %  0.12                      baseline")
    assert "-0.40" in high
    assert "r 0.9" in high
    assert high.endswith("better by 0.40 (0.36 to 0.44)")


def test_what_many_groups_change_of_the_baseline_is_a_row_each(study, finish):
    finish("study/low", 0, 5.0, "sgd.lr=0.05", "run.regularizers=[@ema]")
    finish("study/flat", 0, 5.0, "run.schedule=@constant")
    text = succeed("compare", study, "--baseline", "base")
    rows = [line.split(maxsplit=1) for line in text.partition("\n\n")[0].splitlines()]
    assert dict(rows) == {
        "base": "run.regularizers=[], run.schedule=@multistep, sgd.lr=0.1, "
        "multistep.boundary='at', multistep.factors=[0.1, 0.01], multistep.milestones=[0.5, 0.75], "
        "multistep.unit='fraction', multistep.warmup_epochs=0",
        "flat": "run.schedule=@constant, constant.warmup_epochs=0",
        "high": "sgd.lr=0.2",
        "low": "run.regularizers=[@ema], sgd.lr=0.05, ema.decay=0.999, ema.warmup=True",
    }


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
    assert line == (
        f"these runs are of 2 datasets, CIFAR-10 (JPEG), bbbbbbbbbbbb… (such as {tmp_path}/b/seed0)"
        f"; CIFAR-10, aaaaaaaaaaaa… (such as {tmp_path}/a/seed0); errors on them can't be "
        "compared\n"
    )


# Formats, figures, requirements


def test_json_is_the_same_by_either_option(study):
    assert json.loads(succeed("compare", study, "--format", "json")) == compared(study)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("md", "| high  |   5 |           4.77 | 0.12 |      -0.40 | r 0.97 | better by 0.40 (0.3"),
        (
            "latex",
            r"  high  & 5 &            4.77 & 0.12 &    $-0.40$ & r 0.97 & better by 0.40 (0.",
        ),
        ("csv", "high,5,4.77"),
    ],
)
def test_a_table_for_other_programs_has_a_row_a_group(study, name, line):
    lines = succeed("compare", study, "--format", name).splitlines()
    assert any(each.startswith(line) for each in lines), lines
    assert refuse("compare", str(study), "--json", "--format", "csv").startswith("--json and --for")


def test_names_of_others_are_text_in_every_format(tmp_path, finish):
    finish("a", 0, 5.0, config="=[red]$x|y$\x1b[2J")
    csv, md, latex = (
        succeed("compare", tmp_path, "--format", each) for each in ("csv", "md", "latex")
    )
    assert "\x1b" not in csv + md + latex
    assert r"'=[red]$x|y$\x1b[2J" in csv
    assert r"$x\|y$" in md
    assert r"\$x\textbar{}y\$" in latex


def test_the_baseline_may_be_named(study):
    found = compared(study, "--baseline", "high")
    assert [group["name"] for group in found["groups"]] == ["high", "base"]
    assert found["groups"][1]["words"].startswith("worse by 0.40")
    line = refuse("compare", str(study), "--baseline", "hgih")
    assert line.startswith("the baseline is none of the groups, base, high, and no run 'hgih' in")


def test_a_figure_is_drawn_and_said(study, tmp_path):
    result = invoke("compare", study, "--plot", tmp_path / "figure.svg")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1] == f"wrote {tmp_path}/figure.svg"
    assert (tmp_path / "figure.svg").read_bytes().startswith(b"<?xml")


def test_a_figure_that_cannot_be_is_refused_before_any_run_is_read(tmp_path):
    line = refuse("compare", "nowhere", "--plot", str(tmp_path / "none/figure.svg"))
    assert (
        line == f"{tmp_path}/none/figure.svg cannot be written: {tmp_path}/none is not a folder\n"
    )


def test_a_full_disk_costs_the_figure_and_not_the_table(study, tmp_path):
    with no_file_larger_than(100):
        result = invoke("compare", study, "--plot", tmp_path / "figure.png")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].endswith("better by 0.40 (0.36 to 0.44)")
    said = f"{tmp_path}/figure.png cannot be written: File too large"
    assert result.stderr.splitlines()[-1] == said
    assert not (tmp_path / "figure.png").exists()


def test_without_matplotlib_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    line = refuse("compare", "nowhere", "--plot", "a.png")
    assert line == (
        "figures need matplotlib, which is not installed: pip install 'cifarzoo[plots]'\n"
    )


def test_what_is_required_decides_the_exit_code(study):
    met = invoke("compare", study, "--require", "error<4.8", "--require", "difference<-0.3")
    assert met.exit_code == 0
    assert met.stderr.splitlines()[0] == "required error<4.8: met, the error is 4.77 (high)"
    unmet = invoke("compare", study, "--require", "base:error<5", "--require", "n>5", "--json")
    assert unmet.exit_code == 3
    assert unmet.stderr.splitlines() == [
        "required base:error<5: not met, the error is 5.17 (base)",
        "required n>5: not met, the n is 5 (high)",
    ]
    assert json.loads(unmet.stdout)["groups"]


def test_a_requirement_that_is_none_is_refused_before_anything_is_printed(study):
    assert refuse("compare", "nowhere", "--require", "error").startswith("--require 'error' is no")
    assert refuse("compare", str(study), "--require", "x:n>1").startswith(
        "--require 'x:n>1': no gr"
    )


# What can't be compared


def test_many_that_are_left_out_are_not_a_line_each(study, finish):
    for seed in range(5, 20):
        finish("study/base", seed, 5.0, status="stopped")
    lines = invoke("compare", study).stderr.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "warning: and 5 more such lines; --json has them all"


def test_no_finished_run_is_said_with_what_there_is(tmp_path, finish):
    for seed in range(20):
        finish("a", seed, 5.0, status="stopped")
    lines = refuse("compare", str(tmp_path)).splitlines()
    assert lines[0] == f"left out: {tmp_path}/a/seed0 is stopped, not done"
    assert lines[10:] == ["and 10 more such lines"]


def test_a_folder_is_one_of_runs_whatever_it_is_called(tmp_path, monkeypatch, study, finish):
    monkeypatch.chdir(tmp_path)
    for name in ("quickstart", "resnet20", "mine.gin"):
        finish(name, 0, 5.0)
    found = compared("quickstart", "mine.gin")
    assert [group["n"] for group in found["groups"]] == [1]
    assert json.loads(succeed("compare", "quickstart.gin", "resnet20.gin", "--json"))[0]["name"]
    line = refuse("compare", "quickstart.gin", "study")
    assert line == (
        "quickstart.gin is a config, and study isn't; expected two configs, or runs and folders of "
        "runs\n"
    )


@pytest.mark.parametrize("option", ["--plot=a.png", "--baseline=x", "--require=error<4"])
def test_what_is_of_runs_has_no_effect_on_configs(option):
    name = option.partition("=")[0]
    line = refuse("compare", "quickstart", "resnet20", option)
    assert line == f"{name} has no effect on configs\n"
    line = refuse("compare", "quickstart", "resnet20", "--until-decided", option)
    assert (
        line == f"{name} has no effect with --until-decided; compare its runs, once they are done\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "no run 'nowhere' in runs, which has none"),
        (["a.gin"], "given 1 config; expected two, or runs and folders of runs"),
        (["a", "-p", "x.py"], "--plugin has no effect on runs, which keep their own"),
        (["a", "-s", "sgd.lr=1"], "--set has no effect on runs, which keep their own"),
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
