"""Plugins that are folders: their files know each other, and a run keeps them whole."""

from __future__ import annotations

import ast
import json
import pickle
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cifarzoo
from cifarzoo.components.loading import import_components
from cifarzoo.components.plugin_files import PluginFile, check_alone
from cifarzoo.components.plugin_folders import MAX_BYTES
from cifarzoo.components.plugins import catalogue, plugin_provenance
from cifarzoo.components.registry import register
from cifarzoo.config import load
from cifarzoo.errors import PluginError
from cifarzoo.run_folders.folder import RunFolder
from tests.cli.small_run import CONFIG, result_of
from tests.command import refuse
from tests.components.flat import FLAT, made, refused

SCHEDULE = '''
import json
from pathlib import Path
from typing import Literal

import numbers_of.rates
import rates_by_name as by_name
from rates_by_name import Name, half
from cifarzoo import register

@register.schedule
def stepped(*, name: Name = "file"):
    """A rate that a file beside this one says, or a module."""
    import third
    rates = {"file": json.loads(Path(__file__).with_name("rate.json").read_text()),
             "half": half(), "package": numbers_of.rates.RATE, "third": third.RATE}
    assert by_name.half is half
    return lambda time: rates[name]
'''
FILES = {
    "schedule.py": SCHEDULE,
    "rate.json": "0.25",
    "rates_by_name.py": "from typing import Literal\nName = Literal['file', 'half', 'package', "
    "'third']\ndef half():\n    return 0.5\n",
    "numbers_of/rates.py": "from .. import third\nRATE = third.RATE * 2\n",
    "third.py": "RATE = 1 / 3\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plugin folder whose files import and read each other."""
    return write(tmp_path / "mine", FILES)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def rates(folder: Path) -> list[float]:
    factory = import_components([catalogue([folder]).entries["stepped"]])["stepped"]
    return [factory(name=name)(None) for name in ("file", "half", "package", "third")]


def test_the_files_of_a_folder_import_and_read_each_other(folder):
    assert rates(folder) == [0.25, 0.5, 2 / 3, 1 / 3]

    ends = {name for name in sys.modules if name.rpartition(".")[2] == "third"}
    assert ends == {"cifarzoo_plugin_mine.third"}
    factory = register.components["stepped"].factory
    assert pickle.loads(pickle.dumps(factory)) is factory
    assert not [*folder.rglob("__pycache__")]


def test_two_folders_with_files_of_the_same_names_do_not_mix(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other/mine")
    (other / "third.py").write_text("RATE = 3.0\n")

    assert [rates(folder)[3], rates(other)[3], rates(folder)[3]] == [1 / 3, 3.0, 1 / 3]


def test_an_edited_folder_is_another_one_and_is_never_run_half(folder):
    read = catalogue([folder])
    assert rates(folder)[3] == 1 / 3
    (folder / "third.py").write_text("RATE = 3.0\n")

    assert rates(folder)[3] == 3.0
    with pytest.raises(PluginError, match="mine has changed since it was read; give the command"):
        import_components([read.entries["stepped"]])
    digests = [plugin_provenance([c.entries["stepped"]]) for c in (read, catalogue([folder]))]
    assert digests[0][0]["origin"] == digests[1][0]["origin"] == str(folder)
    assert digests[0][0]["sha256"] != digests[1][0]["sha256"]


@pytest.mark.parametrize(
    ("place", "statement"),
    [
        ("extra.pyc", "from . import extra"),
        ("extra.pyc", "from .extra import RATE"),
        ("extra/__init__.pyc", "from .extra import RATE"),
        ("data/extra.py", "from .data.extra import RATE"),
        ("data/extra.py", "from .data import extra"),
    ],
)
def test_what_a_run_would_not_keep_is_not_imported(folder, place, statement):
    source = folder.parent / "source.py"
    source.write_text("RATE = 1 / 3\n")
    (folder / place).parent.mkdir(exist_ok=True)
    if place.endswith(".pyc"):
        py_compile.compile(str(source), str(folder / place))
    else:
        source.rename(folder / place)
    write(folder, {"flat.py": f"{FLAT.format(name='half_kept', value=1)}{statement}\n"})

    with pytest.raises(PluginError, match=r"it cannot be imported: (ModuleNotFound|Import)Error"):
        made(catalogue([folder]).entries["half_kept"])


def test_types_are_followed_from_file_to_file(folder):
    [parameter] = catalogue([folder]).entries["stepped"].parameters

    assert parameter.annotation == "Literal['file', 'half', 'package', 'third']"


def test_what_is_no_part_of_a_plugin_is_left_out(folder):
    whole = catalogue([folder]).files[0]
    names = ".git/config .cache/x __pycache__/x.pyc data/x.bin runs/a/b/x .hidden sub/a.pyc"
    write(folder, dict.fromkeys(names.split(), "x"))
    write(folder / "mine_runs/r", {"config.gin": "", "run.json": ""})

    again = catalogue([folder]).files[0]

    assert again == whole
    assert {name for name, _ in again.files} == {*FILES}


def test_a_folder_that_is_too_large_is_refused(folder):
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(MAX_BYTES + 1)

    assert refused(folder) == (
        f"{folder} has 20 MB, and each run keeps a plugin folder whole; expected at most 20 MB "
        "beside runs/, data/ and caches; move what is no part of the plugin elsewhere"
    )


def test_a_link_to_a_folder_is_refused_and_one_to_a_file_is_that_file(folder, tmp_path):
    (tmp_path / "fourth.py").write_text("RATE = 4.0\n")
    (folder / "third.py").unlink()
    (folder / "third.py").symlink_to(tmp_path / "fourth.py")
    assert rates(folder)[3] == 4.0

    (folder / "linked").symlink_to(tmp_path)
    assert f"{folder / 'linked'} is a link to a folder; expected its files in" in refused(folder)


def test_what_is_wrong_in_a_folder_is_placed_in_its_file(folder):
    (folder / "third.py").write_text("\n\nRATE = 1 / 0\n")
    (folder / "schedule.py").write_text(f"import third\n{SCHEDULE}")
    entry = catalogue([folder]).entries["stepped"]
    with pytest.raises(PluginError, match=r"mine/third\.py:3: it cannot be imported: ZeroDivision"):
        import_components([entry])

    (folder / "schedule.py").write_text("from cifarzoo import register\nx = register.(\n")
    assert refused(folder).startswith(f"{folder / 'schedule.py'}:2: invalid syntax")


@pytest.mark.parametrize(
    ("first_line", "needs"),
    [
        ("import third", "imports third, which lies beside it"),
        ("from third import RATE", "imports third, which lies beside it"),
        ("from .third import RATE", "imports from its own package"),
        ("x = __file__", "looks beside itself by __file__"),
    ],
)
def test_a_single_file_that_needs_more_than_itself_is_refused_with_what_to_do(
    tmp_path, first_line, needs
):
    write(tmp_path, {"third.py": "RATE = 1\n"})
    path = tmp_path / "alone.py"
    path.write_text(f"{first_line}\n{FLAT.format(name='x', value=1)}")

    assert refused(path) == (
        f"{path}:1: it {needs}, and a run keeps this file alone; name its folder instead, which "
        f"is kept whole: -p {tmp_path}"
    )


def test_a_file_beside_that_nobody_means_is_in_nobodys_way(tmp_path):
    write(tmp_path, {"json.py": "", "alone.py": f"import json\n{FLAT.format(name='x', value=1)}"})

    assert made(catalogue([tmp_path / "alone.py"]).entries["x"]) == 1


# Runs ------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "small.gin").write_text(CONFIG.replace("@cosine", "@stepped"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_tested_and_resumed_by_its_copy_of_the_whole_folder(folder, here):
    result = result_of("run", "small.gin", "-p", "mine", "-s", "run.epochs=1")
    shutil.rmtree(folder)

    tested = result_of("eval", "latest")

    assert tested["weights_sha256"] == result["weights_sha256"]
    kept = Path(result["run"]) / "plugins/mine"
    assert {p.relative_to(kept).as_posix() for p in kept.rglob("*") if p.is_file()} == {*FILES}
    record = json.loads((Path(result["run"]) / "run.json").read_text())
    assert record["plugins"][0]["origin"] == "mine"


def test_a_run_does_not_go_on_with_another_folder(folder, here):
    command = ("run", "small.gin", "-p", "mine", "--run-dir", "r", "-s", "run.max_steps=1")
    result_of(*command)
    (folder / "rate.json").write_text("0.125")

    said = refuse(*command)

    assert "r holds a run of other plugin code: mine has SHA-256" in said
    assert "cifarzoo resume r goes on with its own copy" in said


def test_a_config_takes_a_folder_to_another_process(folder, here):
    config = load("small.gin", plugins=["mine"])
    parts = Path("config.pickle")
    parts.write_bytes(pickle.dumps(config))
    code = f"import pickle; print(pickle.load(open({str(parts)!r}, 'rb')).build().schedule()(0))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("0.25\n", "")


def test_plugins_of_one_name_are_all_kept_apart(folder, here):
    other = shutil.copytree(folder, here / "b/mine")
    (other / "schedule.py").write_text(SCHEDULE.replace("stepped", "stepped_too"))
    third = write(here / "2", {"x.py": SCHEDULE.replace("stepped", "numbered")})
    files = catalogue([folder, other, third]).files
    kept = RunFolder(here / "r")
    kept.path.mkdir()

    kept.keep_plugins(files)

    again = catalogue(kept.plugins, ask_environment=False).files
    assert {each.sha256 for each in again} == {each.sha256 for each in files}
    assert len(again) == 3


def test_a_file_in_a_checkout_of_cifarzoo_may_import_it():
    path = Path(cifarzoo.__file__).parents[1] / "mine.py"

    content = b"from cifarzoo import register\n"

    check_alone(PluginFile(path, "mine", content), ast.parse(content))
