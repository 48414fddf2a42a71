"""Values of every type that a parameter can be annotated with: checked, placed, converted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cifarzoo.config import Config, load
from cifarzoo.errors import ConfigError, ConfigProblemsError
from tests.toy import BASE, PLUGIN

TYPES = '''
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NewType
from annotated_types import MinLen
from cifarzoo import register
from cifarzoo.protocols import PositiveFloat

if TYPE_CHECKING:
    from torch import Tensor

class Mode(Enum):
    HALF = "half"
    FULL = "full"

class Level(IntEnum):
    ONE = 1
    TWO = 2

@dataclass
class Box:
    size: int
    copy: list[PositiveFloat] = field(default_factory=list)
    mode: Mode = Mode.HALF

    def __post_init__(self):
        if self.size == 13:
            raise ValueError("unlucky")

Count = NewType("Count", int)

@register.schedule
def typed(
    *, mode: Mode = Mode.HALF, level: Level | None = None, box: Box | None = None,
    numbers: set[int] = frozenset(), names: frozenset[str] = frozenset(), path: Path = Path(),
    table: dict[str, list[int]] = {}, modes: Mapping[str, Mode] = {}, many: Iterable[int] = (),
    boxes: Sequence[Box] = (), count: Count = 0, noted: Annotated[int, "images"] = 0,
    full: Annotated[Sequence[int], MinLen(1)] = (1,), tensor: "Tensor | None" = None,
    kind: type = int, either: dict[str, int] | int = 0,
) -> Any:
    """Gives what it is given."""
    return locals()
'''
FITTING = [
    ("numbers", "[1, 2, 2]", {1, 2}),
    ("numbers", "(1,)", {1}),
    ("names", "['a']", frozenset("a")),
    ("path", "'some/where'", Path("some/where")),
    ("path", "'~/x'", Path.home() / "x"),
    ("count", "3", 3),
    ("noted", "3", 3),
    ("many", "[1, 2]", [1, 2]),
    ("full", "[1]", [1]),
    ("table", "{'a': [1]}", {"a": [1]}),
    ("either", "{'int': 3}", {"int": 3}),
]
AT_CHECK = [
    ("numbers", "[1, 'x']", "[1] is 'x'; expected a whole number"),
    ("numbers", "3", " is 3; expected a list in square brackets; did you mean [3]?"),
    ("names", "['a', 1]", "[1] is 1; expected a text in quotes"),
    ("path", "3", " is 3; expected a path as a text in quotes"),
    ("count", "'x'", " is 'x'; expected a whole number"),
    ("noted", "'x'", " is 'x'; expected a whole number"),
    ("many", "[1, 'x']", "[1] is 'x'; expected a whole number"),
    ("full", "[]", " is []; expected at least 1 of them"),
    ("table", "{'a': [1, 'x']}", "['a'][1] is 'x'; expected a whole number"),
    ("table", "{'a': 3}", "['a'] is 3; expected a list in square brackets"),
    ("table", "{1: [2]}", "[1] is a key; expected a text in quotes"),
    ("either", "{'int': 'x'}", "['int'] is 'x'; expected a whole number"),
]  # fmt: skip
AT_RUN = [
    ("mode", "'zzz'", " is 'zzz'; expected 'half' or 'full'"),
    ("mode", "7", " is 7; expected 'half' or 'full'"),
    ("level", "True", " is True; expected 'ONE' or 'TWO' or None"),
    ("level", "3", " is 3; expected 'ONE' or 'TWO' or None"),
    ("modes", "{'a': 'half', 'b': 'x'}", "['b'] is 'x'; expected 'half' or 'full'"),
    ("box", "{'size': 'x'}", "['size'] is 'x'; expected a whole number"),
    ("box", "{'copy': []}", " lacks 'size'"),
    ("box", "{'sise': 1}", " has 'sise', which is no field of Box; did you mean size?"),
    ("box", "{'size': 13}", " is refused by Box: unlucky"),
    ("box", "3", " is 3; expected a dict or None"),
    ("boxes", "[{'size': 1, 'copy': [1.0, -1.0]}]",
     "[0]['copy'][1] is -1.0; expected a number above 0"),
    ("tensor", "3", " cannot be set in a config: 'Tensor | None' means nothing in its module: "
     "name 'Tensor' is not defined"),
    ("kind", "3", " is 3; expected a type"),
]  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str, str], Config]:
    """``config(parameter, value)``: of a run whose schedule has the value."""
    (tmp_path / "types.py").write_text(TYPES)

    def read(parameter: str, value: str) -> Config:
        (tmp_path / "c.gin").write_text(
            BASE.replace("toy_flat", "typed") + f"typed.{parameter} = {value}\n"
        )
        return load(tmp_path / "c.gin", plugins=[PLUGIN, tmp_path / "types.py"])

    return read


def given(config: Config, parameter: str) -> Any:
    return config.build().schedule()[parameter]


@pytest.mark.parametrize(("parameter", "value", "expected"), FITTING)
def test_a_value_becomes_what_its_type_asks_for(
    parameter: str, value: str, expected: Any, config: Callable[[str, str], Config]
):
    made = given(config(parameter, value), parameter)

    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize("word", ["'full'", "'FULL'"])
def test_an_enum_takes_its_member_by_name_or_by_value(
    word: str, config: Callable[[str, str], Config]
):
    assert given(config("mode", word), "mode").name == "FULL"
    assert given(config("modes", f"{{'a': {word}}}"), "modes")["a"].value == "full"
    assert given(config("level", "2"), "level").name == "TWO"


def test_a_dataclass_takes_a_dict_and_is_made_anew_each_time(config: Callable[[str, str], Config]):
    run = config("box", "{'size': 3, 'copy': [0.5], 'mode': 'FULL'}").build()
    first, second = (run.schedule()["box"] for _ in range(2))
    first.copy.append(1.0)

    assert (second.size, second.copy, second.mode.name) == (3, [0.5], "FULL")
    assert given(config("boxes", "[{'size': 3}]"), "boxes")[0].mode.name == "HALF"


@pytest.mark.parametrize(("parameter", "value", "problem"), AT_CHECK)
def test_what_every_program_knows_is_refused_by_check(
    parameter: str, value: str, problem: str, config: Callable[[str, str], Config]
):
    with pytest.raises(ConfigProblemsError) as caught:
        config(parameter, value)

    assert str(caught.value).rpartition("/")[2] == f"c.gin:6: typed.{parameter}{problem}"


@pytest.mark.parametrize(("parameter", "value", "problem"), AT_RUN)
def test_what_the_plugin_alone_knows_is_refused_at_run_and_check_says_so(
    parameter: str, value: str, problem: str, config: Callable[[str, str], Config]
):
    checked = config(parameter, value)

    assert list(checked.checked_at_run()) == [f"typed.{parameter}"]
    with pytest.raises(ConfigError) as caught:
        checked.build()
    assert str(caught.value).rpartition("/")[2] == f"c.gin:6: typed.{parameter}{problem}"
