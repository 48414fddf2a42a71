"""What a signature declares is refused in a call from Python, in the words of a config's check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Le

from cifarzoo import config
from cifarzoo.errors import ConfigError, UsageError
from cifarzoo.protocols import PositiveFloat, PositiveInt, Probability, check_settings
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.schedules.cosine import cosine


def factory(
    num_classes: int,
    *,
    rate: PositiveFloat = 1.0,
    share: Probability | None = None,
    widths: Sequence[PositiveInt] = (1,),
    counts: Sequence[PositiveInt] | None = None,
    mode: Literal["a", "b", "c"] = "a",
    level: Annotated[int, Ge(0), Le(9)] | Literal["auto"] = "auto",
    name: str = "",
) -> None:
    check_settings(factory, locals())


@pytest.mark.parametrize(
    ("settings", "parameter", "message"),
    [
        ({"rate": 0}, "rate", "is 0; expected a number above 0"),
        ({"rate": math.nan}, "rate", "is nan; expected a number above 0"),
        ({"rate": math.inf}, "rate", "is inf; expected a number above 0"),
        ({"share": 1.5}, "share", "is 1.5; expected 0 to 1 or None"),
        ({"widths": (4, 0)}, "widths", "[1] is 0; expected at least 1"),
        ({"counts": [1, -1]}, "counts", "[1] is -1; expected at least 1"),
        ({"mode": "d"}, "mode", "is 'd'; expected 'a', 'b' or 'c'"),
        ({"level": 10}, "level", "is 10; expected 0 to 9 or 'auto'"),
        ({"mode": "d", "rate": -1.0}, "rate", "is -1.0; expected a number above 0"),
    ],
)
def test_what_is_outside_of_a_declaration_is_refused(settings, parameter, message):
    with pytest.raises(ConfigError) as error:
        factory(10, **settings)
    assert (error.value.parameter, error.value.problem) == (parameter, message)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"share": None},
        {"share": 1},
        {"level": 9},
        {"widths": []},
        {"counts": [1]},
        {"name": "-1"},
    ],
)
def test_what_is_inside_is_taken(settings):
    factory(-10, **settings)  # nothing is declared of num_classes


@pytest.mark.parametrize(
    ("call", "setting"),
    [
        (lambda: cosine(final=2.0), "cosine.final = 2.0"),
        (lambda: sgd([], clip_norm=0.0), "sgd.clip_norm = 0.0"),
    ],
)
def test_python_and_configs_have_the_same_words(call, setting, tmp_path):
    with pytest.raises(ConfigError) as from_python:
        call()
    (tmp_path / "mine.gin").write_text(f"include 'quickstart.gin'\n{setting}\n")
    with pytest.raises(UsageError) as from_config:
        config.load(tmp_path / "mine.gin")
    assert str(from_config.value).endswith(from_python.value.problem)
