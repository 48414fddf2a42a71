"""Every mistake that a config can hold is one line that says where, what, and what was meant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.toy import BASE, PLUGIN, problems, read

ONE_LINE = [
    # names
    ("toy_net.widht = 3", "toy_net has no parameter 'widht'; did you mean width?"),
    ("toy_net.x = 3", "toy_net has no parameter 'x'; it has width, drop, mode"),
    ("toy_flat.x = 3", "toy_flat has no parameter 'x'; it has none"),
    ("run.epoch = 3", "run has no parameter 'epoch'; did you mean epochs?"),
    ("toy_nett.width = 3", "no component 'toy_nett'; did you mean toy_net?"),
    ("xyzzy.width = 3", "no component 'xyzzy'; cifarzoo ls lists them"),
    ("schedule.toy_net.width = 3",
     "no component 'schedule.toy_net'; did you mean architecture.toy_net?"),
    ("x.toy_net.width = 3", "no component 'x.toy_net'; did you mean architecture.toy_net?"),
    ("run.augmentations = [@toy_cutt]", "no component 'toy_cutt'; did you mean toy_cut?"),
    ("run.augmentations = [@run]", "@run is the whole config and no component"),
    ("toy_net.num_classes = 3", "toy_net.num_classes is given by the engine; configs can't set it"),
    ("toy_sgd.params = 3", "toy_sgd.params is given by the engine; configs can't set it"),
    # types and kinds
    ("toy_sgd.lr = '0.1'", "toy_sgd.lr is '0.1'; expected a number; did you mean 0.1?"),
    ("toy_sgd.lr = True", "toy_sgd.lr is True; expected a number"),
    ("toy_sgd.lr = None", "toy_sgd.lr is None; expected a number"),
    ("run.seed = 1.0", "run.seed is 1.0; expected a whole number"),
    ("run.seed = False", "run.seed is False; expected a whole number"),
    ("run.max_steps = 'all'", "run.max_steps is 'all'; expected a whole number or None"),
    ("run.compile = 1", "run.compile is 1; expected True or False"),
    ("run.deterministic = 1", "run.deterministic is 1; expected True or False or None"),
    ("run.precision = 'bf16'", "run.precision is 'bf16'; expected 'auto', 'float64', 'float32', "
     "'tf32', 'bfloat16' or 'float16'"),
    ("toy_net.mode = 'up'", "toy_net.mode is 'up'; expected 'left' or 'right'"),
    ("toy_sgd.steps = 3", "toy_sgd.steps is 3; expected a list in square brackets; "
     "did you mean [3]?"),
    ("toy_sgd.steps = 'abc'", "toy_sgd.steps is 'abc'; expected a list in square brackets"),
    ("toy_sgd.steps = [1, [2]]", "toy_sgd.steps[1] is [2]; expected a number"),
    ("toy_sgd.lr = @toy_flat", "toy_sgd.lr is @schedule.toy_flat; expected a number"),
    ("run.regularizers = @ToyNoise",
     "run.regularizers is @regularizer.ToyNoise; expected a list in square brackets; "
     "did you mean [@ToyNoise]?"),
    # nothing that changes nothing
    ("toy_steps.milestones = [1]",
     "toy_steps.milestones changes nothing: this run has no @toy_steps"),
    ("big/toy_net.width = 3", "big/toy_net.width changes nothing: this run has no @big/toy_net"),
    ("x/run.seed = 3", "x/run.seed changes nothing: this run has no @x/run"),
    ("epochs = 3", "epochs is set but no value is %epochs; did you mean run.epochs?"),
    ("run/epochs = 3", "run/epochs is set but no value is %run/epochs; did you mean run.epochs?"),
    ("toy_net = 3", "toy_net is set but no value is %toy_net; did you mean a parameter, "
     "toy_net.…, or run.… = @toy_net?"),
    ("xyzzy = 3", "xyzzy is set but no value is %xyzzy"),
    # macros
    ("run.seed = %SEED", "nothing sets %SEED"),
    ("SEEDS = 3\nrun.seed = %SEED", "nothing sets %SEED; did you mean SEEDS?"),
    ("run.seed = %A\nA = %B\nB = %A", "%A refers to itself"),
    ("run.seed = %A\nA = %A", "%A refers to itself"),
    # calls
    ("run.augmentations = [@toy_cut()]",
     "write @toy_cut without (); the engine makes the component"),
    ("run.augmentations = [@big/toy_cut()]",
     "write @big/toy_cut without (); the engine makes the component"),
    ("run.augmentations = [@toy_both]\ntoy_both.first = @toy_both",
     "toy_both.first leads back to toy_both itself"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), ONE_LINE, ids=[text for text, _ in ONE_LINE])
def test_a_mistake_is_one_line_that_names_its_place(text: str, problem: str, tmp_path: Path):
    last_line = 6 + text.count("\n")

    assert problems(text, tmp_path) == [f"c.gin:{last_line}: {problem}"]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("run.schedule = @toy_sgd", "run.schedule is @optimizer.toy_sgd; expected a schedule ("),
        ("run.schedule = 'toy_fla'", "run.schedule is 'toy_fla'; expected a schedule; "
         "did you mean @toy_flat?"),
        ("run.schedule = None", "run.schedule is None; expected a schedule (@"),
        ("run.augmentations = [@toy_cut, @toy_net]",
         "run.augmentations[1] is @architecture.toy_net; expected an augmentation (@"),
        ("run.augmentations = [@toy_both]\ntoy_both.first = @toy_flat",
         "toy_both.first is @schedule.toy_flat; expected an augmentation (@"),
    ],
)  # fmt: skip
def test_a_component_of_the_wrong_kind_is_refused_with_some_of_the_right(
    text: str, start: str, tmp_path: Path
):
    base = BASE.replace("run.schedule = @toy_flat\n", "") if "schedule" in text else BASE

    [line] = problems(text, tmp_path, base=base)

    assert line.partition(": ")[2].startswith(start)


def test_a_union_is_checked_by_the_member_that_fits_best(tmp_path: Path):
    use = "run.augmentations = [@toy_cut]\ntoy_cut.either = "

    assert read(f"{use}[1, 2]", tmp_path)
    assert problems(f"{use}'x'", tmp_path) == [
        "c.gin:7: toy_cut.either is 'x'; expected a whole number or a list in square brackets"
    ]
    assert problems(f"{use}[1, 'x']", tmp_path) == [
        "c.gin:7: toy_cut.either[1] is 'x'; expected a whole number"
    ]


def test_values_of_a_dict_are_checked(tmp_path: Path):
    use = "toy_steps.milestones = [1]\ntoy_steps.names = "
    base = BASE.replace("toy_flat", "toy_steps")

    assert read(f"{use}{{'a': 1.0}}", tmp_path, base=base)
    assert problems(f"{use}{{'a': 'b'}}", tmp_path, base=base) == [
        "c.gin:7: toy_steps.names['a'] is 'b'; expected a number"
    ]


def test_a_missing_value_of_run_lists_candidates(tmp_path: Path):
    [line] = problems("", tmp_path, base=BASE.replace("run.dataset = @toy_data\n", ""))

    assert line.startswith("run.dataset is not set; expected a dataset (@")
    assert "@cifar10" in line


def test_a_missing_value_of_a_component_names_the_line_that_uses_it(tmp_path: Path):
    base = BASE.replace("toy_flat", "toy_steps")

    assert problems("", tmp_path, base=base) == ["c.gin:4: toy_steps.milestones is not set"]


def test_a_misspelt_name_is_not_reported_as_missing_too(tmp_path: Path):
    base = BASE.replace("toy_flat", "toy_steps")

    assert problems("toy_steps.milestone = [1]", tmp_path, base=base) == [
        "c.gin:6: toy_steps has no parameter 'milestone'; did you mean milestones?"
    ]


def test_all_problems_come_at_once_in_the_order_of_the_lines(tmp_path: Path):
    text = "toy_net.widht = 3\nrun.seed = none\nrun.epochs = 'x'\ntoy_sgd.lr = @nothing\n"

    assert problems(text, tmp_path, base=BASE.replace("run.epochs = 3\n", "")) == [
        "c.gin:5: toy_net has no parameter 'widht'; did you mean width?",
        "c.gin:6: 'none' is not a value; expected a whole number",
        "c.gin:7: run.epochs is 'x'; expected a whole number",
        "c.gin:8: no component 'nothing'; cifarzoo ls lists them",
    ]


def test_what_follows_from_another_mistake_is_not_reported(tmp_path: Path):
    base = BASE.replace("@toy_net", "toy_net")

    assert problems("toy_net.width = 3", tmp_path, base=base) == [
        "c.gin:1: 'toy_net' is not a value; did you mean @toy_net?"
    ]


def test_an_include_may_set_what_the_run_does_not_use(tmp_path: Path):
    (tmp_path / "shared.gin").write_text("toy_steps.milestones = [1]\ntoy_cut.size = 3\nM = 5\n")

    config = read("include 'shared.gin'", tmp_path)

    assert "toy_steps" not in config.text()


def test_with_sets_only_they_have_to_have_an_effect(tmp_path: Path):
    text = "run.augmentations = [@toy_cut]\ntoy_cut.size = %SIZE\nSIZE = 3\n"

    assert "toy_cut" not in read(text, tmp_path, "run.augmentations=[]").text()
    assert problems(text, tmp_path, "run.augmentations=[]", "toy_cut.size=5") == [
        "--set 'toy_cut.size=5': toy_cut.size changes nothing: this run has no @toy_cut"
    ]


@pytest.mark.parametrize("scope", ["", "big/"])
def test_a_value_that_every_narrower_scope_overrides_changes_nothing(scope: str, tmp_path: Path):
    use = "run.augmentations = [@big/one/toy_cut]\nbig/one/toy_cut.size = 9\n"

    assert problems(f"{use}{scope}toy_cut.size = 3\n", tmp_path) == [
        f"c.gin:8: {scope}toy_cut.size changes nothing: "
        "each @toy_cut here has a value of its own scope"
    ]


def test_a_misspelt_scope_is_refused(tmp_path: Path):
    text = "run.augmentations = [@small/toy_cut]\nsmal/toy_cut.size = 9\n"

    assert problems(text, tmp_path) == [
        "c.gin:7: smal/toy_cut.size changes nothing: this run has no @smal/toy_cut; "
        "did you mean small/toy_cut?"
    ]


def test_a_macro_of_an_unused_value_changes_nothing(tmp_path: Path):
    (tmp_path / "shared.gin").write_text("toy_cut.size = %SIZE\n")

    assert problems("include 'shared.gin'\nSIZE = 3", tmp_path) == [
        "c.gin:7: SIZE changes nothing: no value that this run uses has %SIZE"
    ]


def test_a_wrong_value_in_a_macro_names_both_lines(tmp_path: Path):
    assert problems("SEED = 'x'\nrun.seed = %SEED", tmp_path) == [
        "c.gin:7: run.seed is 'x'; expected a whole number (%SEED: c.gin:6)"
    ]


def test_a_reference_as_a_key_of_a_dict_is_refused(tmp_path: Path):
    base = BASE.replace("toy_flat", "toy_steps")

    assert problems("toy_steps.milestones = {@toy_cut: 1}", tmp_path, base=base)[0] == (
        "c.gin:6: a key of a dict is a text or a number"
    )


SETS = [
    ("run.epochs", "expected NAME=VALUE, such as run.epochs=3"),
    ("run.epochs 5", "expected NAME=VALUE, such as run.epochs=3"),
    ("include 'x.gin'", "expected NAME=VALUE, such as run.epochs=3"),
    ("a.b=1\nc.d=2", "expected NAME=VALUE, such as run.epochs=3"),
    ("", "expected NAME=VALUE, such as run.epochs=3"),
    ("run.epochs=", "expected a value, not the end of the line"),
    ("=3", "expected a name, not '='"),
    ("run.epoch=3", "run has no parameter 'epoch'; did you mean epochs?"),
    ("toy_nett.width=3", "no component 'toy_nett'; did you mean toy_net?"),
    ("epochs=3", "epochs is set but no value is %epochs; did you mean run.epochs?"),
    ("run.epochs=none", "'none' is not a value; expected a whole number"),
    ("run.epochs='3'", "run.epochs is '3'; expected a whole number; did you mean 3?"),
    ("run.precision=bfloat16", "'bfloat16' is not a value; "
     "did you mean -s \"run.precision='bfloat16'\"?"),
    ("run.epochs=2*3", "unexpected '*' after the value; a value cannot be computed"),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "problem"), SETS, ids=[setting for setting, _ in SETS])
def test_a_mistake_in_set_is_one_line_that_repeats_it(setting: str, problem: str, tmp_path: Path):
    assert problems("", tmp_path, setting) == [f"--set {setting!r}: {problem}"]


def test_checking_imports_neither_torch_nor_a_plugin(tmp_path: Path):
    plugin = tmp_path / "loud.py"
    plugin.write_text("raise SystemExit('imported')\n" + PLUGIN.read_text())
    (tmp_path / "c.gin").write_text(BASE)
    code = (
        "import sys; from cifarzoo.config import load; "
        "print(load('c.gin', plugins=['loud.py'], sets=['run.seed=3']).text()); "
        "print('torch' in sys.modules or 'cifarzoo.components.run' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert "run.seed = 3" in done.stdout
    assert done.stdout.endswith("False\n")
