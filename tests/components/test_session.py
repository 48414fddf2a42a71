"""What a script or a notebook registers itself: indexed from the live function, and replaced."""

from __future__ import annotations

import hashlib
import inspect
import linecache
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pytest

from cifarzoo import register
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugins import catalogue, plugin_provenance
from cifarzoo.components.session import is_of_session
from cifarzoo.config import load as load_config
from cifarzoo.errors import ConfigProblemsError, PluginError
from cifarzoo.protocols import ScheduleFactory

NAMES = ("fading", "cosine", "Penalty")


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    for name in NAMES:
        register.forget(name)


def in_main(factory: Any) -> Any:
    factory.__module__ = "__main__"
    return factory


def fading(
    inner: ScheduleFactory,
    *,
    rate: float = 0.5,
    steps: Sequence[int] = (1, 2),
    how: str | None = None,
) -> Any:
    """Fade.

    Slowly.
    """
    return rate, steps, how, inner


def test_its_entry_says_what_that_of_a_file_would():
    register.schedule(in_main(fading))

    entry = catalogue().entries["fading"]

    assert (entry.kind, entry.summary, entry.doc) == ("schedule", "Fade.", "Fade.\n\nSlowly.")
    assert [(p.name, p.annotation, p.default) for p in entry.parameters] == [
        ("inner", "ScheduleFactory", None),
        ("rate", "float", "0.5"),
        ("steps", "Sequence[int]", "(1, 2)"),
        ("how", "str | None", "None"),
    ]
    assert is_of_session(entry)
    assert entry.source == f"{__file__}:{inspect.getsourcelines(fading)[1]}"
    assert import_components([entry])["fading"] is fading


def test_annotations_that_are_no_texts_are_read_too():
    def plain(params, *, betas=(0.9,), kind="a"):
        return params, betas, kind

    plain.__annotations__ = {"betas": Sequence[float], "kind": Literal["a", "b"]}
    plain.__name__ = "fading"
    register.optimizer(in_main(plain))

    entry = catalogue().entries["fading"]

    assert entry.injected == ("params",)
    notes = [parameter.annotation for parameter in entry.parameters]
    assert notes == ["collections.abc.Sequence[float]", "Literal['a', 'b']"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("fading.rate='fast'", r"fading.rate is 'fast'; expected a number"),
        ("fading.rates=1.0", r"fading has no parameter 'rates'; did you mean rate\?"),
        ("fading.inner=@flip", r"fading.inner is @augmentation.flip; expected a schedule"),
    ],
)
def test_its_settings_are_checked_as_those_of_files(setting, message):
    register.schedule(in_main(fading))
    sets = ["run.schedule=@fading", "fading.inner=@constant", setting]

    with pytest.raises(ConfigProblemsError, match=message):
        load_config("quickstart.gin", sets=sets)


def test_registering_it_again_replaces_it_whatever_kind_it_was():
    register.augmentation(in_main(fading))

    def again():
        return lambda _moment: 0.25

    again.__name__ = "fading"
    register.schedule(in_main(again))

    run = load_config("quickstart.gin", sets=["run.schedule=@fading"]).build()
    assert run.schedule()(None) == 0.25


def test_one_that_takes_a_name_of_ours_is_refused_and_forgotten():
    def cosine():
        return lambda _moment: 0.25

    def register_and_list() -> None:
        register.schedule(in_main(cosine))
        catalogue()

    with pytest.raises(PluginError, match=r"'cosine' is already the schedule of .*cosine.py:\d+"):
        register_and_list()
    assert catalogue().entries["cosine"].origin == "cifarzoo"

    register.schedule(override=True)(in_main(cosine))
    assert is_of_session(catalogue().entries["cosine"])


def test_its_provenance_is_the_digest_of_its_source():
    register.schedule(in_main(fading))

    digest = hashlib.sha256(inspect.getsource(fading).encode()).hexdigest()
    of_run = plugin_provenance([catalogue().entries["fading"]])
    assert of_run == [{"origin": "__main__.fading", "sha256": digest}]


CELL = """
from cifarzoo.protocols import Regularizer

class Penalty(Regularizer):
    def loss(self, loss):
        return loss
"""


def test_a_class_of_a_cell_has_its_source_too():
    file = "/tmp/ipykernel_1/2.py"  # so IPython calls a cell, and keeps its lines
    linecache.cache[file] = (len(CELL), None, CELL.splitlines(keepends=True), file)
    names = {"__name__": "__main__"}
    exec(compile(CELL, file, "exec"), names)  # what a cell is
    register.regularizer(names["Penalty"])

    [record] = plugin_provenance([catalogue().entries["Penalty"]])

    text = CELL[CELL.index("class") :].rstrip()
    assert record["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def test_one_without_source_has_no_digest():
    names = {"__name__": "__main__"}
    exec("def fading():\n    return None", names)  # as in an interactive session
    register.schedule(names["fading"])

    assert plugin_provenance([catalogue().entries["fading"]]) == [{"origin": "__main__.fading"}]
