"""Settings from Python keep their types, and what a config's text cannot hold is refused."""

from __future__ import annotations

import enum
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cifarzoo.config import Config, from_text, load
from cifarzoo.config.python_values import from_python
from cifarzoo.config.values import Reference, written
from cifarzoo.errors import ConfigProblemsError
from tests.toy import BASE, PLUGIN, read


class Mode(enum.Enum):
    LEFT = "left"


class TextMode(enum.StrEnum):
    LEFT = "left"


def set_in(folder: Path, **values: Any) -> Config:
    path = folder / "c.gin"
    path.write_text(BASE)
    named = {name.replace("__", "."): value for name, value in values.items()}
    return load(path, values=named, plugins=[PLUGIN])


def refused(folder: Path, values: dict[str, Any]) -> str:
    (folder / "c.gin").write_text(BASE)
    with pytest.raises(ConfigProblemsError) as caught:
        load(folder / "c.gin", values=values, plugins=[PLUGIN])
    [line] = caught.value.problems
    return line


def test_values_are_pythons_and_texts_with_an_at_are_references(tmp_path: Path):
    config = set_in(
        tmp_path,
        run__epochs=4,
        toy_sgd__lr=1.0,
        toy_sgd__steps=[1, 2.5],
        toy_net__mode="right",
        run__clip_norm=None,
        run__augmentations=["@small/toy_cut", "@augmentation.toy_cut"],
        run__regularizers=("@ToyNoise",),
    )

    assert config.text() == (
        "architecture.toy_net.mode = 'right'\n"
        "optimizer.toy_sgd.lr = 1.0\n"
        "optimizer.toy_sgd.steps = [1, 2.5]\n"
        "run.architecture = @architecture.toy_net\n"
        "run.augmentations = [@small/augmentation.toy_cut, @augmentation.toy_cut]\n"
        "run.clip_norm = None\n"
        "run.dataset = @dataset.toy_data\n"
        "run.epochs = 4\n"
        "run.optimizer = @optimizer.toy_sgd\n"
        "run.regularizers = (@regularizer.ToyNoise,)\n"
        "run.schedule = @schedule.toy_flat\n"
    )
    assert config.location("run", "epochs") == "set['run.epochs']"


def test_a_dict_may_hold_references_and_a_key_may_not(tmp_path: Path):
    assert from_python({"a": "@toy_cut", 1: [None]}) == {"a": Reference("", "toy_cut"), 1: [None]}
    assert from_python({"@toy_cut": 1}) == {"@toy_cut": 1}


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (np.float64(0.1), 0.1),
        (np.int64(3), 3),
        (np.str_("left"), "left"),
        (torch.tensor(3), 3),
        (TextMode.LEFT, "left"),
        (Path("a/b"), "a/b"),
        (float("inf"), math.inf),
    ],
)
def test_what_is_exactly_a_value_of_a_file_is_taken_as_one(given: Any, plain: Any):
    taken = from_python(given)

    assert type(taken) is type(plain)
    assert taken == plain


REFUSED = [
    ({"toy_sgd.lr": np.float32(0.5)}, f"is {np.float32(0.5)!r} (numpy.float32); expected a number, "
     "a text, None, or a list, tuple or dict of them; .item() of a single number is one"),
    ({"toy_sgd.lr": torch.tensor(0.5)}, "is tensor(0.5000) (torch.Tensor); expected a number, "
     "a text, None, or a list, tuple or dict of them; .item() of a single number is one"),
    ({"toy_sgd.steps": np.arange(2)}, "is array([0, 1]) (numpy.ndarray); expected a number, "
     "a text, None, or a list, tuple or dict of them; .item() of a single number is one"),
    ({"toy_net.mode": Mode.LEFT}, "is <Mode.LEFT: 'left'> (test_python_values.Mode); expected a "
     "number, a text, None, or a list, tuple or dict of them"),
    ({"run.schedule": read}, "is a function"),
    ({"toy_sgd.steps": [1.0, [math.nan]]}, "[1][0] is nan; expected a number"),
    ({"toy_sgd.steps": {1}}, "is {1} (set); expected a number, a text, None, or a list, tuple or "
     "dict of them"),
    ({"toy_steps.names": {None: 1}}, "has the key None; a key of a dict is a text or a number"),
    ({"toy_steps.names": {"a": {(1, 2): 1}}},
     "['a'] has the key (1, 2); a key of a dict is a text or a number"),
    ({"run.regularizers": ["@"]}, "[0] is '@'; expected @ and a component's name, as '@mixup'"),
    ({"run.schedule": "@toy_flat # no"},
     "is '@toy_flat # no'; expected @ and a component's name, as '@mixup'"),
    ({"run.schedule": "@toy_flat\nrun.seed = 3"},
     "is '@toy_flat\\nrun.seed = 3'; expected @ and a component's name, as '@mixup'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "problem"), REFUSED, ids=[problem[:30] for _, problem in REFUSED]
)
def test_what_no_text_can_hold_is_refused_with_its_place(
    values: dict[str, Any], problem: str, tmp_path: Path
):
    [name] = values
    if problem == "is a function":
        expected = f"set[{name!r}] is <function read at 0x"
        assert refused(tmp_path, values).startswith(expected)
        assert refused(tmp_path, values).endswith("; a component is named, as '@read'")
        return
    gap = "" if problem.startswith("[") else " "
    assert refused(tmp_path, values).replace("tests.config.", "") == (
        f"set[{name!r}]{gap}{problem}"
    )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("run.epochs=3", "expected a name such as 'run.epochs' or 'sgd.lr'"),
        ("run.epochs\nrun.seed", "expected a name such as 'run.epochs' or 'sgd.lr'"),
        ("run.epochs = None #", "expected a name such as 'run.epochs' or 'sgd.lr'"),
        ("run:", "expected a name such as 'run.epochs' or 'sgd.lr'"),
        ("", "expected a name such as 'run.epochs' or 'sgd.lr'"),
        ("run.epoch", "run has no parameter 'epoch'; did you mean epochs?"),
        ("toy_cut.fill", "toy_cut.fill changes nothing: this run has no @toy_cut"),
        ("run.epochs", "run.epochs is 'x'; expected a whole number"),
        ("run.schedule", "run.schedule is 'x'; expected a schedule (@"),
        ("EPOCHS", "EPOCHS is set but no value is %EPOCHS"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_setting_is_one_line_that_names_it(name: str, problem: str, tmp_path: Path):
    assert refused(tmp_path, {name: "x"}).startswith(f"set[{name!r}]: {problem}")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path):
    assert refused(tmp_path, {3: "x"}).startswith("set[3]: expected a name such as")


def test_values_come_after_sets_and_may_set_a_macro(tmp_path: Path):
    (tmp_path / "c.gin").write_text(f"{BASE}run.seed = %SEED\nSEED = 1\n")

    config = load(
        tmp_path / "c.gin", sets=["SEED=2", "run.epochs=5"], values={"SEED": 3}, plugins=[PLUGIN]
    )

    assert [config.bindings[f"run.{name}"].value for name in ("seed", "epochs")] == [3, 5]
    assert config.bindings["run.seed"].macros == " (%SEED: set['SEED'])"


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text().filter(lambda text: not text.startswith("@"))
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=plain)
def test_any_plain_value_is_that_of_the_same_text(value: Any, tmp_path: Path):
    path = tmp_path / "c.gin"
    path.write_text(BASE + "run.regularizers = [@ToyNoise]\n")

    by_value = load(path, values={"ToyNoise.unchecked": value}, plugins=[PLUGIN])
    by_text = load(path, sets=[f"ToyNoise.unchecked={written(value)}"], plugins=[PLUGIN])

    assert by_value.text() == by_text.text()
    assert from_text(by_value.text(), plugins=[PLUGIN]).uses.keys() == by_value.uses.keys()


# A checked config with other values --------------------------------------------------------------


def test_a_config_with_another_seed_is_as_if_it_had_been_set(tmp_path: Path):
    config = read("run.seed = %SEED\nSEED = 1\ntoy_net.width = 5", tmp_path)

    again = config.with_values({"run.seed": 7, "toy_net.width": 6}, location="--seed")

    sets = ("run.seed=7", "toy_net.width=6")
    assert again.text() == read("toy_net.width = 5", tmp_path, *sets).text()
    assert again.location("run", "seed") == "--seed"
    assert again.location("run", "epochs") == f"{tmp_path}/c.gin:5"
    assert config.bindings["run.seed"].value == 1
    assert again.build().seed == 7


def test_a_macro_keeps_its_place_beside_other_values(tmp_path: Path):
    config = read("run.seed = %SEED\nSEED = 1", tmp_path)

    kept = config.with_values({"run.epochs": 9}).bindings["run.seed"]

    assert kept.macros == config.bindings["run.seed"].macros == f" (%SEED: {tmp_path}/c.gin:7)"


def test_a_value_that_a_config_cannot_take_is_refused(tmp_path: Path):
    config = read("", tmp_path)

    with pytest.raises(ConfigProblemsError, match=r"^seed: run\.seed is True; expected a whole"):
        config.with_values({"run.seed": True}, location="seed")
    with pytest.raises(ConfigProblemsError, match=r"^set\['toy_cut.size'\]: .* changes nothing"):
        config.with_values({"toy_cut.size": 3})


def test_a_config_that_was_pickled_is_the_same_config(tmp_path: Path):
    config = read(
        "run.augmentations = [@small/toy_cut]\nsmall/toy_cut.size = 9", tmp_path, "run.seed=3"
    )

    again = pickle.loads(pickle.dumps(config))

    assert again == config
    assert again.location("run", "seed") == "--set 'run.seed=3'"
    assert [make() for make in again.build().augmentations] == [("toy_cut", 9, "zero", 0)]
