"""A config means what gin would make of the same file: texts round-trip and scopes agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gin  # noqa: TID251  # what ours is compared with
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cifarzoo.config import from_text
from cifarzoo.config.grammar import Assignment, statements
from cifarzoo.config.values import Macro, Reference, written
from tests.toy import BASE, PLUGIN, read

identifiers = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
literals = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=5)
    | st.builds(Reference, identifiers | st.just(""), identifiers)
    | st.builds(Macro, identifiers),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(literals)
def test_every_value_is_read_as_it_was_written(value: Any):
    [assignment] = statements(f"run.x = {written(value)}\n")

    assert assignment == Assignment(1, "", "run", "x", value)


@st.composite
def bindings(draw: st.DrawFn) -> str:
    """Lines that use two scoped cutouts and set some of what the toy components take.

    Some values are macros, of which one may hold another, and some components hold others.
    """
    optional = {
        "toy_net.width": st.integers(),
        "toy_net.drop": st.floats(0, 1, exclude_max=True),
        "toy_net.mode": st.sampled_from(["left", "right"]),
        "toy_sgd.lr": st.floats(allow_nan=False) | st.integers(-9, 9),
        "toy_sgd.steps": st.lists(st.floats(allow_nan=False) | st.integers(), max_size=4),
        "toy_sgd.nesterov": st.booleans() | st.none(),
        "a/toy_cut.size": st.integers(),
        "a/b/toy_cut.fill": st.text(),
        "toy_cut.either": st.integers() | st.lists(st.integers(), max_size=3),
        "toy_both.first": st.just(Reference("", "toy_cut")),
        "ToyNoise.scale": st.floats(allow_nan=False),
        "a/ToyNoise.scale": st.floats(allow_nan=False),
    }
    optional["a/b/toy_both.second"] = st.sampled_from(
        [None, Reference("", "toy_cut"), Reference("a", "augmentation.toy_cut")]
    )
    cut = st.sampled_from([Reference("", "toy_cut"), Reference("b", "toy_cut")])
    optional["toy_parts.parts"] = st.dictionaries(
        st.text(max_size=3), st.lists(cut | st.just(Reference("", "toy_both")), max_size=3)
    )
    optional["b/toy_cut.size"] = st.integers()
    needed = {"toy_both.first", "toy_parts.parts"}
    names = [name for name in optional if name in needed or draw(st.booleans())]
    values = {name: written(draw(optional[name])) for name in names}
    by_macro = draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
    macros = {f"M{number}": values[name] for number, name in enumerate(by_macro)}
    values |= {name: f"%{macro}" for name, macro in zip(by_macro, macros, strict=True)}
    if macros and draw(st.booleans()):
        macros |= {"OUTER": "%M0"}
        values[by_macro[0]] = "%OUTER"
    lines = [f"{name} = {value}" for name, value in (macros | values).items()]
    uses = ("a/toy_cut", "a/b/toy_both", "a/toy_cut", "toy_both", "a/b/toy_parts", "b/toy_cut")
    lines.append(f"run.augmentations = [{', '.join(f'@{use}' for use in uses)}]")
    lines.append("run.regularizers = [@a/ToyNoise, @regularizer.ToyNoise]")
    return "\n".join(draw(st.permutations(lines)))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=bindings())
def test_any_valid_config_round_trips_and_builds_what_gin_would_call(text: str, tmp_path: Path):
    config = read(text, tmp_path)

    assert from_text(config.text(), plugins=[PLUGIN]).text() == config.text()
    run = config.build()
    ours = [
        run.architecture(num_classes=10),
        run.optimizer(params=()),
        *(make() for make in run.augmentations),
        *(make() for make in run.regularizers),
    ]
    assert repr(ours) == repr(called_by_gin(BASE + text))


def called_by_gin(text: str) -> list[Any]:
    """What the same factories give when gin itself injects the values as they are called."""
    gin.clear_config()
    gin.parse_config(text)
    try:
        made = [
            gin.get_configurable("toy_net")(num_classes=10),
            gin.get_configurable("toy_sgd")(params=()),
        ]
        bound = gin.get_bindings("cifarzoo.run")
        with_scope = [make() for make in (*bound["augmentations"], *bound["regularizers"])]
    finally:
        gin.clear_config()
    return made + with_scope


@pytest.fixture(autouse=True, scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The toy components, known to gin."""
    read("", tmp_path_factory.mktemp("toy")).build()
    config = "run.augmentations = [@toy_both, @toy_parts]\ntoy_both.first = @toy_cut\n"
    config += "toy_parts.parts = {}\nrun.regularizers = [@ToyNoise]"
    read(config, tmp_path_factory.mktemp("toy")).build()
    yield
    gin.clear_config()
