"""No function runs the plugins of a run that somebody else made, until it is told to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cifarzoo
from cifarzoo.api.loaded_run import LoadedRun
from cifarzoo.errors import UntrustedPluginError
from tests.received_run import Received, copied, make

RUN = "runs/r"
QUIET: dict[str, Any] = {"progress": False}
CONFIG = f"{RUN}/config.gin"
DOORS: dict[str, list[Callable[[], object]]] = {  # ways to a run's plugins, by function
    "train": [
        lambda: cifarzoo.train(CONFIG, **QUIET),
        lambda: cifarzoo.train(CONFIG, run_dir=RUN, **QUIET),
        lambda: cifarzoo.train(CONFIG, from_run=RUN, set={"run.max_steps": 2}, **QUIET),
        lambda: cifarzoo.train(CONFIG, nproc=2, **QUIET),
        lambda: cifarzoo.train(cifarzoo.load_run(RUN).config, **QUIET),
    ],
    "resume": [
        lambda: cifarzoo.resume(RUN, **QUIET),
        lambda: cifarzoo.resume("latest", nproc=2, **QUIET),
        lambda: cifarzoo.resume(cifarzoo.load_run(RUN), **QUIET),
    ],
    "sweep": [lambda: cifarzoo.sweep(CONFIG, out="swept", **QUIET)],
    "evaluate": [lambda: cifarzoo.evaluate(RUN), lambda: cifarzoo.evaluate("latest")],
    "load_run": [
        lambda: cifarzoo.load_run(RUN).model,
        lambda: cifarzoo.load_run(RUN).last_model,
        lambda: cifarzoo.load_run(RUN).average_model,
        lambda: cifarzoo.load_run(RUN).best_model,
        lambda: cifarzoo.load_run(RUN).preprocess,
        lambda: cifarzoo.load_run(RUN).classes,
        lambda: cifarzoo.load_run(RUN).evaluate(),
        lambda: cifarzoo.load_run(RUN).config.with_values({"run.seed": 1}).build(),
    ],
}
NAME_NO_RUN = {
    "testing",
    "create",
    "create_model",
    "draws",
    "lambda_lr",
    "register",
    "errors",
    "protocols",
}
LOOK_AT_RUNS: dict[str, Callable[[], object]] = {
    "compare": lambda: cifarzoo.compare(RUN),
    "runs": lambda: repr(cifarzoo.runs("runs")),
}
# Of a loaded run; they import nothing of it.
LOOKS = {"path", "config", "status", "result", "history", "predictions"}


@pytest.fixture(scope="module")
def received(tmp_path_factory: pytest.TempPathFactory) -> Received:
    return make(tmp_path_factory.mktemp("received"))


@pytest.fixture
def run(received: Received, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Received:
    """``runs/r`` in the current folder, of a user whom its sender is a stranger to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIFARZOO_STATE", str(tmp_path / "state"))
    return copied(received, Path(RUN))


def test_every_public_function_is_tried():
    known = {*DOORS, *LOOK_AT_RUNS, *NAME_NO_RUN, "__version__"}
    assert known == {*cifarzoo.__all__}
    public = {name for name in vars(LoadedRun) if not name.startswith("_")}
    networks = {"model", "last_model", "average_model", "best_model"}
    assert public == LOOKS | networks | {"preprocess", "classes", "evaluate"}


@pytest.mark.parametrize(
    "door",
    [
        pytest.param(door, id=f"{name}-{number}")
        for name, doors in DOORS.items()
        for number, door in enumerate(doors)
    ],
)
def test_what_would_run_a_strangers_plugin_is_refused(door: Callable[[], object], run: Received):
    with pytest.raises(
        UntrustedPluginError, match=r"replaces cosine\) came with the run"
    ) as caught:
        door()

    assert run.named in str(caught.value)
    assert caught.value.exit_code == 2
    assert not run.was_imported()


@pytest.mark.parametrize("name", sorted(LOOKS))
def test_a_run_is_looked_at_without_its_plugins(name: str, run: Received):
    assert getattr(cifarzoo.load_run(RUN), name)
    assert not run.was_imported()


@pytest.mark.parametrize("name", sorted(LOOK_AT_RUNS))
def test_runs_are_listed_and_compared_without_their_plugins(name: str, run: Received):
    assert LOOK_AT_RUNS[name]()
    assert not run.was_imported()


@pytest.mark.parametrize(
    "trusting",
    [
        lambda: cifarzoo.load_run(RUN, trust_plugins=True).model,
        lambda: cifarzoo.evaluate(RUN, trust_plugins=True),
        lambda: cifarzoo.resume(RUN, trust_plugins=True, **QUIET),
        lambda: cifarzoo.train(CONFIG, trust_plugins=True, run_dir=RUN, **QUIET),
    ],
    ids=["load_run", "evaluate", "resume", "train"],
)
def test_what_is_trusted_is_run_and_remembered(trusting: Callable[[], object], run: Received):
    trusting()
    assert run.was_imported()

    assert cifarzoo.load_run(RUN).classes
    assert run.was_imported()


def test_a_run_that_python_began_with_a_plugin_is_ones_own(run: Received):
    run.plugin.rename("mine.py")
    own = Path(CONFIG).read_text()

    began = cifarzoo.train(own, plugins=["mine.py"], **QUIET)

    assert cifarzoo.load_run(began).model is not None
