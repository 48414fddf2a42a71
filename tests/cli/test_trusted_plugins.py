"""No command runs the plugins of a run that somebody else made, until it is told to."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from cifarzoo.cli.app import PLACES
from tests.cli.small_run import CONFIG
from tests.command import invoke, refuse, succeed
from tests.received_run import Received, copied, make

DOORS: dict[str, list[tuple[str, ...]]] = {  # ways to a run's plugins, by command
    "run": [
        ("run", "runs/r/config.gin"),
        ("run", "runs/r/resolved.gin"),
        ("run", "runs/r/config.gin", "--dry-run"),
        ("run", "runs/r/config.gin", "--run-dir", "runs/r"),
        ("run", "runs/r/config.gin", "--from", "runs/r", "-s", "run.max_steps=2"),
        ("run", "runs/r/config.gin", "--nproc", "2"),
        ("run", "runs/r/config.gin", "-s", "run.initial_weights='runs/r'"),
    ],
    "resume": [("resume", "runs/r"), ("resume", "latest"), ("resume", "r", "--nproc", "2")],
    "eval": [("eval", "runs/r"), ("eval", "latest"), ("eval", "r", "--weights", "last")],
    "sweep": [("sweep", "runs/r/config.gin", "-o", "swept")],
    "bench": [("bench", "runs/r/config.gin", "--steps", "1", "--rounds", "1")],
    "show": [
        ("show", "runs/r/config.gin", "--layers"),
        ("show", "runs/r/config.gin", "--image", "out.png"),
    ],
}
LOOKING: dict[str, list[tuple[str, ...]]] = {  # what needs no plugin, or looks without
    "run": [
        ("run", "own.gin", "-s", "run.initial_weights='runs/r'"),
        ("run", "own.gin", "--from", "runs/r"),
        ("run", "own.gin", "--run-dir", "runs/r"),
    ],
    "show": [("show", "runs/r/config.gin"), ("show", "runs/r/resolved.gin", "--json")],
    "check": [("check", "runs/r/config.gin"), ("check", "runs/r/resolved.gin", "--json")],
    "compare": [("compare", "runs/r/config.gin", "own.gin")],
    "runs": [("runs",), ("runs", "ls", "--json")],
    "ls": [("ls",), ("ls", "cosine")],
    "reproduce": [
        ("reproduce",),
        ("reproduce", "flax_gpu/wrn26_10", "--budget", "smoke", "--dry-run"),
    ],
    "doctor": [("doctor",)],
}
NAME_NO_RUN = {"data", "new"}


@pytest.fixture(scope="module")
def received(tmp_path_factory: pytest.TempPathFactory) -> Received:
    return make(tmp_path_factory.mktemp("received"))


@pytest.fixture
def run(received: Received, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Received:
    """``runs/r`` in the current folder, of a user whom its sender is a stranger to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("CIFARZOO_STATE", str(tmp_path / "state"))
    Path("own.gin").write_text(f"{CONFIG}run.max_steps = 1\n")
    return copied(received, Path("runs/r"))


def files_in(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_command_is_tried():
    assert {*DOORS, *LOOKING} | NAME_NO_RUN == set(PLACES)


@pytest.mark.parametrize(
    "command", [words for each in DOORS.values() for words in each], ids=" ".join
)
def test_what_would_run_a_strangers_plugin_is_refused_in_a_line(
    command: tuple[str, ...], run: Received
):
    before = files_in(Path())

    *_, line = (said := refuse(*command)).splitlines()

    assert not run.was_imported()
    assert line == (
        f"{run.named} came with the run, and no run of yours is known to have begun with it; it is "
        "code: read it, then give --trust-plugins (in Python trust_plugins=True)"
    )
    latest = ["latest is runs/r"] * ("latest" in command) + ["r is runs/r"] * ("r" in command)
    assert said.splitlines()[:-1] == latest
    assert files_in(Path()) == before


@pytest.mark.parametrize(
    "command", [words for each in LOOKING.values() for words in each], ids=" ".join
)
def test_looking_runs_no_strangers_plugin(command: tuple[str, ...], run: Received):
    assert invoke(*command).exit_code == (2 if "--from" in command or "--run-dir" in command else 0)

    assert not run.was_imported()


def test_a_row_is_reproduced_by_its_own_recipe_wherever_a_strangers_run_lies(run: Received):
    place = Path("runs/reproduce/flax_gpu/wrn26_10/smoke-glyphs/seed0")
    shutil.copytree(run.path, place)

    said = refuse("reproduce", "flax_gpu/wrn26_10", "--budget", "smoke")

    assert f"{place} holds a run of another config" in said
    assert not run.was_imported()


def test_show_has_all_but_what_the_plugin_would_build(run: Received):
    shown = invoke("show", "runs/r/config.gin")
    as_json = json.loads(succeed("show", "runs/r/config.gin", "--json"))

    assert "run.max_steps = 1" in shown.stdout
    assert "parameters" not in shown.stdout
    assert shown.stderr.startswith(f"warning: what it builds isn't shown: {run.named} came with")
    assert as_json["bindings"]["run.max_steps"] == "1"
    assert as_json["num_parameters"] is None
    trusted = json.loads(succeed("show", "runs/r/config.gin", "--json", "--trust-plugins"))
    assert [*trusted] == [*as_json]
    assert trusted["num_parameters"] > 0


def test_check_says_what_run_would_refuse(run: Received):
    *_, line = succeed("check", "runs/r/config.gin").splitlines()
    [verdict] = json.loads(succeed("check", "runs/r/config.gin", "--json"))

    assert line == f"  {run.named} is code that run needs --trust-plugins for"
    assert verdict["untrusted_plugins"] == [run.named]
    assert verdict["fine"]


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "runs/r"),
        ("resume", "runs/r"),
        ("run", "runs/r/config.gin", "--dry-run"),
        ("show", "runs/r/config.gin", "--layers"),
        ("show", "runs/r/config.gin", "--image", "out.png"),
    ],
    ids=" ".join,
)
def test_what_is_trusted_once_is_run_and_named_from_then_on(
    command: tuple[str, ...], run: Received
):
    for options in (("--trust-plugins",), ()):
        done = invoke(*command, *options)
        assert done.exit_code == 0, done.output
        assert run.was_imported()
        assert done.stderr.startswith(f"runs the run's own copy {run.named}\n")


def test_an_edited_copy_isnt_what_was_trusted(run: Received):
    succeed("eval", "runs/r", "--trust-plugins")
    run.plugin.write_text(run.plugin.read_text() + "\n")
    run.was_imported()

    assert run.named in refuse("eval", "runs/r")
    assert not run.was_imported()


def test_a_run_of_ones_own_is_continued_and_tested_without_asking(run: Received):
    run.plugin.rename("mine.py")

    succeed("run", "own.gin", "-p", "mine.py", "--run-dir", "runs/own", "--nproc", "2", "--json")

    for command in (("eval", "runs/own"), ("resume", "runs/own")):
        run.was_imported()
        done = invoke(*command)
        assert done.exit_code == 0, done.output
        assert run.was_imported()


def test_a_start_that_is_refused_makes_nothing_known(run: Received, tmp_path: Path):
    succeed("run", "own.gin", "-p", run.plugin, "--dry-run")
    assert invoke("run", "own.gin", "-p", run.plugin, "--run-dir", "own.gin").exit_code == 2

    assert not (tmp_path / "state").exists()


def test_where_nothing_can_be_remembered_the_run_trains_with_one_warning(
    run: Received, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CIFARZOO_STATE", "own.gin/below")

    done = invoke("run", "own.gin", "-p", run.plugin, "--run-dir", "runs/own", "--json")
    assert done.exit_code == 0, done.output
    [warning] = [line for line in done.stderr.splitlines() if "cannot be noted" in line]
    assert warning.startswith("warning: the run's plugins cannot be noted as yours")
    assert "own.gin/below: Not a directory" in warning
    refuse("eval", "runs/own")
    tested = invoke("eval", "runs/own", "--trust-plugins")
    assert tested.exit_code == 0
    assert tested.stderr.startswith("warning: the run's plugins cannot be noted as yours")


def test_ranks_of_what_is_trusted_dont_ask_again(run: Received, monkeypatch: pytest.MonkeyPatch):
    """Not where nothing can be remembered, so that each would have to be told."""
    monkeypatch.setenv("CIFARZOO_STATE", "own.gin/below")
    command = ["run", "runs/r/config.gin", "--nproc", "2", "--trust-plugins", "--run-dir", "new"]

    succeed(*command)

    record = json.loads(Path("new/run.json").read_text())
    assert (record["status"], record["world_size"]) == ("done", 2)
