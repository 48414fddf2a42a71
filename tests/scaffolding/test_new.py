"""``cifarzoo new`` writes plugins of every kind that work as they stand, or says why it doesn't."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from cifarzoo.components.kinds import KINDS
from cifarzoo.components.plugins import plugin_provenance
from cifarzoo.config import load
from cifarzoo.scaffolding.names import MAX_LENGTH
from cifarzoo.testing.contracts import contracts_of
from cifarzoo.testing.subject import Subject
from tests.command import refuse, succeed
from tests.full_disk import no_file_larger_than
from tests.installed import install_project

SMALL = ("-s", "run.max_steps=2", "-s", "run.epochs=1", "-s", "run.eval_images=20")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin of each kind."""
    folder = tmp_path_factory.mktemp("written")
    for kind in KINDS:
        succeed("new", kind, f"my_own_{kind}", "--out", folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_the_config_of_each_kind_is_fine_and_trains(kind, written, here):
    name, plugin = f"my_own_{kind}", written / f"my_own_{kind}.py"
    config = written / f"{name}.gin"

    assert name in succeed("check", config, "-p", plugin)
    small = "my_own_dataset.train_images" if kind == "dataset" else "glyphs.train_images"
    succeed("run", config, "-p", plugin, "--run-dir", "run", *SMALL, "-s", f"{small}=128")

    record = json.loads((here / "run" / "run.json").read_text())
    assert (record["status"], record["steps"]) == ("done", 2)
    assert [each["path"] for each in record["plugins"]] == [str(plugin)]


def test_the_tests_of_each_kind_pass(written):
    # Two processes take two seconds to start; what draws random numbers is tried on them.
    some = "not ranks or augmentation or regularizer"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", some]
    done = subprocess.run(
        command,
        cwd=written,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    num_contracts = sum(len(contracts_of(kind)) for kind in KINDS)
    left_out = len(KINDS) - 2
    assert f"{num_contracts - left_out + 18} passed, {left_out} deselected" in done.stdout


def test_what_is_written_is_as_linters_want_it(written):
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length=100"]
    for command in (
        ["check", *options, "--select=B,C4,E,F,I,PERF,PIE,PT,RET,RUF,SIM,UP,W"],
        ["format", *options, "--check"],
    ):
        done = subprocess.run(
            [*ruff, *command], cwd=written, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_what_was_written_and_what_comes_next_is_said(here):
    said = succeed("new", "loss", "my_own", "-o", "plugins/new")

    files = [f"plugins/new/{name}" for name in ("my_own.py", "my_own.gin", "test_my_own.py")]
    assert said.splitlines() == files
    assert sorted(path.name for path in (here / "plugins" / "new").iterdir()) == sorted(
        Path(file).name for file in files
    )
    other = json.loads(succeed("new", "loss", "my_other", "--json"))
    expected = ["my_other.py", "my_other.gin", "test_my_other.py"]
    assert other == {"kind": "loss", "name": "my_other", "files": expected}


# A package ----------------------------------------------------------------------------------------


def test_a_package_is_built_with_its_entry_point_and_works_once_installed(here, monkeypatch):
    succeed("new", "schedule", "my_own_decay", "--package")
    project = here / "cifarzoo-my-own-decay"

    (wheel,) = WheelBuilder(str(project)).build(directory=str(here), versions=["standard"])
    with zipfile.ZipFile(wheel) as files:
        [points] = [name for name in files.namelist() if name.endswith("entry_points.txt")]
        assert files.read(points).decode().split() == [
            "[cifarzoo.plugins]",
            "my_own_decay",
            "=",
            "cifarzoo_my_own_decay",
        ]
        assert "cifarzoo_my_own_decay/my_own_decay.py" in files.namelist()

    install_project(project, here, monkeypatch)
    config = load(project / "my_own_decay.gin")
    [plugin] = plugin_provenance(config.components())
    assert plugin["origin"] == "cifarzoo-my-own-decay 0.1.0"
    for contract in contracts_of("schedule"):
        if not contract.trains:
            contract.hold(Subject(name="my_own_decay"), here)


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_of_a_package_names_the_file_that_a_plugin_would_be(kind, here):
    succeed("new", kind, "my_own", "--package")

    for path in (here / "cifarzoo-my-own").rglob("*.*"):
        if path.suffix in (".py", ".gin", ".md", ".toml"):
            text = path.read_text()
            assert '"my_own.py"' not in text
            assert "-p my_own.py" not in text
            assert "NAME" not in text
            assert f"my_{kind}" not in text


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "problem"),
    [
        ("augment", "my_own", "no component kind 'augment'; did you mean augmentation?"),
        ("xyz", "my_own", "no component kind 'xyz'; the kinds are architecture, layers, "),
        ("loss", "9lives", "the name is '9lives'; expected 2 to 40 lower-case letters, digits and"),
        ("loss", "my-own", "the name is 'my-own'; expected 2 to 40 lower-case letters"),
        ("loss", "MyOwn", "the name is 'MyOwn'; expected 2 to 40 lower-case letters"),
        ("loss", "größe", "the name is 'größe'; expected 2 to 40 lower-case letters"),
        ("loss", "../own", "the name is '../own'; expected 2 to 40 lower-case letters"),
        ("loss", "a" * (MAX_LENGTH + 1), "expected 2 to 40 lower-case letters"),
        ("loss", "lambda", "'lambda' is a word of Python; pick another name"),
        ("loss", "sum", "'sum' is a word of Python; pick another name"),
        ("loss", "macro", "the name 'macro' is reserved; pick another name"),
        ("loss", "mixup", "'mixup' is already the regularizer of cifarzoo; pick another name"),
        ("loss", "schedule", "'schedule' is a word that the plugin itself uses; pick another"),
        ("loss", "logits", "'logits' is a word that the plugin itself uses; pick another name"),
        ("loss", "random", "there is a module 'random' already; pick another name"),
        ("loss", "quickstart", "quickstart.gin would hide the recipe of that name; pick another"),
    ],
)  # fmt: skip
def test_a_kind_or_a_name_that_cannot_be_is_refused_in_a_line(kind, name, problem, here):
    said = refuse("new", kind, name)

    assert problem in said
    assert said.count("\n") == 1
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("taken", ["my_own.py", "my_own.gin", "test_my_own.py"])
def test_nothing_is_overwritten(taken, here):
    (here / taken).symlink_to("nowhere")

    said = refuse("new", "loss", "my_own")

    assert said == f"{taken} is already there; pick another name or another --out\n"
    assert [path.name for path in here.iterdir()] == [taken]


def test_a_folder_that_is_none_is_refused(here):
    (here / "file").write_text("")

    assert refuse("new", "loss", "my_own", "--out", "file") == (
        "file/my_own.py cannot be written: Not a directory\n"
    )


def test_what_could_not_be_written_whole_is_taken_away(here):
    size = len((Path(succeed("new", "loss", "my_own").splitlines()[0])).read_bytes())
    with no_file_larger_than(size - 100):
        said = refuse("new", "loss", "my_new", "--out", "a/b")

    assert said == "a/b/my_new.py cannot be written: File too large\n"
    assert not (here / "a").exists()
