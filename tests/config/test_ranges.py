"""Ranges are declared once a parameter, and are those that the factories hold to."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cifarzoo.components.index import Entry, root
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue
from cifarzoo.components.ranges import taken_apart
from cifarzoo.components.run import Run
from cifarzoo.config import load
from cifarzoo.config.hints import known_fit
from cifarzoo.engine.assembly.build import build_model, make
from cifarzoo.errors import ConfigError, ConfigProblemsError
from cifarzoo.zoo.regularizers.branch.shake_shake import shake_shake
from tests.command import refuse, succeed
from tests.toy import problems, read

ENTRIES = [entry for entry in catalogue(ask_environment=False).entries.values()
           if entry.origin == "cifarzoo" and entry.preset is None]  # fmt: skip
NUMBERS: dict[str, list[Any]] = {
    "int": [-1, 0, 1],
    "float": [-1.0, 0.0, 1.0, math.inf, -math.inf, math.nan],
}


def trials() -> Iterator[tuple[Entry, str, str, Any]]:
    """Each parameter that takes numbers, its annotation, and a number that may be out of range."""
    for entry in ENTRIES:
        for parameter in entry.parameters:
            plain = (parameter.type or "").removesuffix(" | None")
            for number in NUMBERS.get(plain, []):
                yield entry, parameter.name, str(parameter.annotation), number
            if plain in ("Sequence[float]", "Sequence[int]"):
                default = ast.literal_eval(parameter.default or "(1, 2)") or (0.5, 0.5, 0.5)
                for number in NUMBERS[plain[9:-1]]:
                    yield entry, parameter.name, str(parameter.annotation), [number, *default[1:]]


NEEDS: dict[str, dict[str, Any]] = {  # beside the parameter that is tried
    "multistep": {"milestones": [0.0, 2.0], "factors": [1.0, 1.0], "warmup_epochs": 0.0},
    "normalize": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    "class_weighted": {"class_counts": [3, 1]},
    "logit_adjusted": {"class_counts": [3, 1]},
    "distillation": {"teacher": "runs/teacher"},
    "torch_optimizer": {"name": "Adam", "lr": 0.1},
}


def is_refused(entry: Entry, parameter: str, value: Any) -> bool:
    """Whether the factory itself refuses the value."""
    factory = import_components([entry])[entry.name]

    def with_value(*args: Any, **given: Any) -> Any:
        return factory(*args, **{**NEEDS.get(entry.name, {}), **given, parameter: value})

    with_value.__signature__ = inspect.signature(factory)  # type: ignore[attr-defined]
    try:
        if entry.kind == "architecture":
            paths = {"shake_shake": shake_shake()} if entry.name == "shake_resnet" else {}
            build_model(with_value, num_classes=10, regularizers=paths, device="meta")
        elif entry.kind == "optimizer":
            make(with_value, params=[{"params": [torch.nn.Parameter(torch.zeros(2, 2))]}])
        elif entry.name in NEEDS:
            with_value()
        else:
            make(with_value, folder=None)
    except ConfigError:
        return True
    return False


# What depends on another setting, or on the structure, the factory alone can tell.
DEPENDS = {
    "sgd.momentum",  # 0 goes without nesterov only
    "random_erasing.area",  # its two ends have an order, as the next has one with resizemix.low
    "resizemix.high",
    "random_choice.probabilities",  # whose sum is at most 1
    "class_weighted.class_weights",  # not beside class_counts
    "online_batch_selection.hardest",  # at most keep
}


def test_what_check_refuses_is_what_the_factory_refuses():
    differ = []
    for entry, parameter, annotation, value in trials():
        fit = known_fit(annotation)
        assert fit is not None
        declared = fit.misfit(value) is not None
        if not declared and (entry.kind == "architecture" or value == [1.0, 2.0]):
            continue  # building a network that is fine takes its time
        if declared != is_refused(entry, parameter, value):
            differ.append((entry.name, parameter, value, declared))

    assert [d for d in differ if f"{d[0]}.{d[1]}" not in DEPENDS] == []


def test_every_number_of_a_run_has_the_range_that_run_holds_to():
    need = dict.fromkeys(("architecture", "dataset", "optimizer", "schedule"))
    for parameter in root().parameters:
        for number in NUMBERS.get((parameter.type or "").removesuffix(" | None"), []):
            fit = known_fit(parameter.annotation)
            assert fit is not None
            if fit.misfit(number) is None:
                Run(**need, **{parameter.name: number})  # type: ignore[arg-type]
            else:
                with pytest.raises(ConfigError, match=rf"^{parameter.name} is .*; expected"):
                    Run(**need, **{parameter.name: number})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("annotation", "plain", "words"),
    [
        ("float", "float", ""),
        ("Annotated[int, Ge(1)]", "int", "at least 1"),
        ("Annotated[int, Field(ge=2, le=4)] | None", "int | None", "2 to 4"),
        ("Annotated[float, Interval(gt=0, lt=1)]", "float", "above 0 to below 1"),
        ("Annotated[float, Le(0.5)]", "float", "at most 0.5"),
        ("Annotated[float, Lt(3)]", "float", "below 3"),
        ("Sequence[Annotated[float, Gt(0), Lt(math.inf)]]", "Sequence[float]", "above 0"),
        ("Annotated[float, Gt(-math.inf), Lt(math.inf)]", "float", "finite"),
        ("Annotated[int, 'images']", "int", ""),
    ],
)
def test_a_declared_range_has_words(annotation: str, plain: str, words: str):
    assert taken_apart(annotation) == (plain, words)


PLUGIN = '''
from annotated_types import Ge, Le
from typing import Annotated
from cifarzoo import register
from cifarzoo.protocols import Fraction, PositiveFloat
MOST = 4

@register.schedule
def bounded(*, share: Fraction = 0.5, power: PositiveFloat | None = None,
            count: Annotated[int, Ge(2), Le(MOST)] = 2) -> object:
    """Declares its ranges, and checks none of them."""
    return lambda time: 1.0
'''


def test_a_plugins_ranges_are_checked_all_at_once_with_file_and_line(tmp_path: Path):
    (tmp_path / "bounded.py").write_text(PLUGIN)
    (tmp_path / "c.gin").write_text(
        "include 'quickstart.gin'\nrun.schedule = @bounded\nbounded.share = 1.0\n"
        "bounded.power = 1e999\nbounded.count = 5\nrun.epochs = -5\nsgd.lr = -1\n"
        "run.regularizers = [@ema, @lookahead]\n"
    )

    with pytest.raises(ConfigProblemsError) as caught:
        load(tmp_path / "c.gin", plugins=[tmp_path / "bounded.py"])

    assert [line.rpartition("/")[2] for line in caught.value.problems] == [
        "c.gin:3: bounded.share is 1.0; expected 0 to below 1",
        "c.gin:4: bounded.power is 1e999; expected a number above 0 or None",
        "c.gin:5: bounded.count is 5; expected 2 to 4",
        "c.gin:6: run.epochs is -5; expected at least 1",
        "c.gin:7: sgd.lr is -1; expected a number above 0",
        "c.gin:8: run.regularizers has 2 that average weights (@ema, @lookahead); "
        "expected at most one",
    ]


def test_show_and_the_reference_have_the_declared_range():
    assert "momentum: float = 0.9  0 to below 1" in succeed("show", "sgd")
    assert "epochs: int = 200  at least 1" in succeed("show", "run")


@pytest.mark.parametrize("beside", [(), ("run.seed=1",), ("run.seed=1", "run.epochs=2")])
def test_a_setting_of_the_file_without_effect_is_one_with_set_too(
    beside: tuple[str, ...], tmp_path: Path
):
    assert problems("toy_cut.size = 3\nM = 2\n", tmp_path, *beside) == [
        "c.gin:6: toy_cut.size changes nothing: this run has no @toy_cut",
        "c.gin:7: M is set but no value is %M",
    ]


def test_what_set_takes_the_effect_of_is_no_mistake(tmp_path: Path):
    text = "run.augmentations = [@toy_cut]\ntoy_cut.size = %SIZE\nSIZE = 3\n"

    assert "toy_cut" not in read(text, tmp_path, "run.augmentations=[]").text()
    assert "size = 5" in read(text, tmp_path, "toy_cut.size=5").text()
    again = read(text, tmp_path).with_values({"run.augmentations": []})
    assert "toy_cut" not in again.text()
    with pytest.raises(ConfigProblemsError, match=r"toy_net\.mode|toy_steps.* changes nothing"):
        again.with_values({"toy_steps.milestones": [1]})


def test_a_seed_beside_the_file_switches_nothing_off(tmp_path: Path):
    (tmp_path / "idle.gin").write_text("include 'quickstart.gin'\nmixup.alpha = 0.3\n")

    for command in (["check"], ["check", "-s", "run.seed=1"], ["run", "--seed", "1"]):
        said = refuse(command[0], tmp_path / "idle.gin", *command[1:])
        assert "idle.gin:2: mixup.alpha changes nothing: this run has no @mixup" in said
