"""``~`` is the home folder wherever a path is given, also where no shell has replaced it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import cifarzoo as api
from cifarzoo.cli import completion
from cifarzoo.components.user_paths import expanded
from cifarzoo.errors import UsageError
from tests.cli.conftest import PLUGIN
from tests.cli.small_run import CONFIG
from tests.command import invoke, refuse, succeed


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a config and a plugin; the current folder is another, and empty."""
    home = tmp_path / "home"
    for folder in (home, tmp_path / "here"):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path / "here")
    (home / "small.gin").write_text(
        CONFIG.replace("epochs = 2", "epochs = 1") + "run.max_steps = 1\n"
    )
    (home / "including.gin").write_text("include '~/small.gin'\n")
    (home / "teeth.py").write_text(PLUGIN)
    return home


SMALL = ("-s", "run.schedule=@sawtooth", "-s", "sawtooth.teeth=3", "-p", "~/teeth.py")


def test_a_run_is_made_and_found_below_the_home_folder(home, monkeypatch):
    succeed("run", "~/small.gin", *SMALL, "--run-dir=~/mine", "--json")
    monkeypatch.setenv("CIFARZOO_RUNS", "~/runs")
    succeed("run", "~/including", "--json")

    for name in ("~/mine", "latest"):
        assert json.loads(succeed("eval", name, "--json"))["run"].startswith(str(home))
    assert [path.name for path in (home / "runs").iterdir()] == ["including"]
    assert not any(Path.cwd().iterdir())


def test_python_takes_such_paths_too(home):
    options = {"set": {"run.seed": 1}, "progress": False}

    trained = api.train("~/small.gin", run_dir="~/mine", **options)
    api.train(Path("~/small.gin"), plugins=["~/teeth.py"], out="~/runs", **options)

    assert trained.path == home / "mine"
    assert api.resume("~/mine", progress=False).test_error == trained.test_error
    assert api.load_run("latest", out="~/runs").path.is_relative_to(home / "runs")
    assert not any(Path.cwd().iterdir())


@pytest.mark.parametrize(
    "command",
    [
        ("run", "quickstart.gin", "-s", "run.dataset=@cifar10", "--data=~/nothing"),
        ("show", "quickstart.gin", "-s", "run.dataset=@cifar10", "--data=~/nothing"),
        ("data", "verify", "cifar10", "--data=~/nothing"),
        ("bench", "quickstart.gin", "--out=~/nothing/x.json"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_folder_that_is_not_there_is_named_whole(home, command):
    assert f"there is no folder {home / 'nothing'}" in refuse(*command)


def test_data_named_by_the_environment_or_by_python_are_below_the_home_folder(home, monkeypatch):
    monkeypatch.setenv("CIFARZOO_DATA", "~/nothing")

    assert str(home / "nothing") in refuse("run", "quickstart.gin", "-s", "run.dataset=@cifar10")
    with pytest.raises(UsageError, match=str(home / "nothing")):
        api.train("quickstart", set={"run.dataset": "@cifar10"})
    with pytest.raises(UsageError, match=str(home / "nothing")):
        api.create("cifar10", folder="~/nothing")


@pytest.mark.parametrize(
    "command",
    [
        ("run", "~nobody-here/x.gin"),
        ("run", "quickstart.gin", "--out=~nobody-here/x"),
        ("check", "quickstart.gin", "-p", "~nobody-here/x.py"),
        ("eval", "~nobody-here/x"),
    ],
    ids=lambda command: command[-1],
)
def test_the_home_of_a_user_that_there_is_not_is_refused_in_a_line(command):
    said = invoke(*command)

    assert said.exit_code == 2
    [line] = said.stderr.splitlines()
    assert "there is no home folder ~nobody-here; expected ~/…, or ./~nobody-here for" in line


def test_a_file_whose_own_name_begins_so_is_itself(home):
    Path("~nobody-here.gin").write_text(CONFIG)

    assert expanded("~nobody-here.gin") == Path("~nobody-here.gin")
    assert expanded(f"~{os.sep}x") == home / "x"


def test_completion_offers_what_lies_there_as_it_is_typed():
    assert [typed for typed, _ in completion.configs("~/sm")] == ["~/small.gin"]
    assert completion.configs("~nobody-here/") == []
