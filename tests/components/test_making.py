"""What one making does to its settings is seen by no other, and by no record of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cifarzoo import create, register
from cifarzoo.components.making import Making
from cifarzoo.config import load
from tests.toy import BASE

EATERS = """
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any
    from cifarzoo import register
    from cifarzoo.protocols import LossFactory

    @register.schedule
    def eater(*, steps: list[float] = [9.0], table: dict[str, list[int]] = {"a": [1, 2]},
              pair: tuple[list[int], int] = ([3], 0), inner: LossFactory | None = None) -> Any:
        \"\"\"Takes the first off.\"\"\"
        taken = (steps.pop(), table["a"].pop(), table.pop("a"), pair[0].pop())
        return (taken, inner() and inner()) if inner else taken

    @register.loss
    def inner_eater(*, steps: list[float]) -> Any:
        \"\"\"Takes the last off.\"\"\"
        return steps.pop()

    small_eater = register.preset(eater, steps=[5.0])
"""


def kept_steps(*, steps: list[float]) -> list[float]:
    return steps


def run_with(plugin: Callable[..., Path], tmp_path: Path, text: str, name: str = "eater") -> Any:
    path = tmp_path / "c.gin"
    path.write_text(BASE.replace("toy_flat", name) + text)
    toy = Path(__file__).parents[1] / "fixtures" / "toy_components.py"
    return load(path, plugins=[toy, plugin("eaters.py", EATERS)])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("eater", "eater.steps = [1.0, 0.5]\neater.table = {'a': [7]}\neater.pair = ([4], 1)\n",
         (0.5, 7, [], 4)),
        ("eater", "", (9.0, 2, [1], 3)),
        ("small_eater", "", (5.0, 2, [1], 3)),
    ],
    ids=["given", "defaults", "bound by a preset"],
)  # fmt: skip
def test_each_making_gets_its_own_lists_and_dicts(
    name: str, text: str, expected: Any, plugin: Callable[..., Path], tmp_path: Path
):
    config = run_with(plugin, tmp_path, text, name)
    before = config.text()
    run = config.build()

    assert [run.schedule(), run.schedule(), config.build().schedule()] == [expected] * 3
    assert config.text() == before


def test_a_component_that_makes_another_one_twice_gets_the_same_twice(
    plugin: Callable[..., Path], tmp_path: Path
):
    run = run_with(
        plugin, tmp_path, "eater.inner = @inner_eater\ninner_eater.steps = [1.0, 2.0]\n"
    ).build()

    assert [run.schedule()[1] for _ in range(2)] == [2.0, 2.0]


def test_a_list_that_a_program_gives_to_create_stays_as_it_is(monkeypatch: pytest.MonkeyPatch):
    for table in ("components", "known"):
        monkeypatch.setattr(register, table, dict(getattr(register, table)))

    @register.schedule
    def popping(*, milestones: list[float]) -> Any:
        milestones.pop()
        return lambda _time: 1.0

    mine = [1.0, 2.0]
    create("popping", milestones=mine)

    assert mine == [1.0, 2.0]


def test_what_is_no_list_dict_or_set_is_handed_on_itself():
    thing, source = object(), iter([1])

    kept = Making(lambda *things: things, thing)(source)

    assert kept == (thing, source)


def test_a_factory_with_settings_is_pickled_with_them():
    again = pickle.loads(pickle.dumps(Making(kept_steps, steps=[1])))

    again().pop()
    assert again() == [1]
