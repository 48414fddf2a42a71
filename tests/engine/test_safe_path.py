"""Files of the current folder take the place of no module, in the command or in its ranks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cifarzoo.engine.distributed import safe_path
from cifarzoo.engine.distributed.safe_path import leave_current_folder, safe_order
from tests.cli.small_run import CONFIG

OURS = ("cifarzoo", "gin", "numpy", "rich", "scipy", "torch", "torchvision", "typer")
# As the script ``cifarzoo`` starts: the current folder isn't on the path of its own process.
AS_SCRIPT = "import sys; sys.path.remove(''); from cifarzoo.cli import main; main()"
PLUGIN = """
from cifarzoo import register

@register.schedule
def half():
    "Half the rate, always."
    return lambda moment: 0.5
"""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file by the name of every module that a run may import."""
    library = [name for name in sys.stdlib_module_names if not name.startswith("_")]
    for name in (*library, *OURS):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} of the current folder')")
    (tmp_path / "small.gin").write_text(CONFIG)
    (tmp_path / "mine.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_ranks_import_nothing_from_the_current_folder_but_the_plugin_that_is_named(hostile):
    command = [sys.executable, "-c", AS_SCRIPT, "run", "small.gin", "-n", "2"]
    command += ["-s", "run.max_steps=1", "-p", "mine.py", "-s", "run.schedule=@half"]
    command += ["--run-dir", "r"]

    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": safe_path.HOME},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (hostile / "r/plugins/mine.py").read_text() == PLUGIN
    assert "of the current folder" not in done.stderr


def test_started_as_a_module_a_command_imports_nothing_from_there(hostile):
    # ``python -m`` itself looks there for what it is to start, and for what it needs to do so.
    code = "import contextlib, importlib.util, pkgutil, runpy, sys; print(*sys.modules)"
    own = subprocess.run([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE, check=True)
    for name in {"cifarzoo", *own.stdout.decode().split()}:
        (hostile / f"{name}.py").unlink(missing_ok=True)
    assert {"argparse", "json", "logging", "queue"} <= {path.stem for path in hostile.iterdir()}

    done = subprocess.run(
        [sys.executable, "-m", "cifarzoo", "check", "small.gin"],
        env=os.environ | {"PYTHONPATH": safe_path.HOME},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


LIBRARY = str(Path(os.__file__).parent)


def test_the_current_folder_comes_last_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("", ".", str(tmp_path)):
        assert safe_order([name, LIBRARY, "/site"], keep=True) == [LIBRARY, "/site", str(tmp_path)]
        assert safe_order([name, LIBRARY, "/site"], keep=False) == [LIBRARY, "/site"]


def test_a_folder_that_the_user_put_first_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert safe_order([str(tmp_path), LIBRARY], keep=False) == [str(tmp_path), LIBRARY]


def test_in_a_checkout_cifarzoo_is_that_one_and_the_library_pythons_own(monkeypatch):
    monkeypatch.chdir(safe_path.HOME)
    monkeypatch.delenv("PYTHONPATH", raising=False)

    order = safe_order(["", LIBRARY, f"{LIBRARY}/lib-dynload", "/site"], keep=False)

    assert order == [LIBRARY, f"{LIBRARY}/lib-dynload", safe_path.HOME, "/site"]


def test_a_current_folder_that_is_gone_is_no_hindrance(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys, "path", ["", LIBRARY])

    leave_current_folder()

    assert sys.path == [LIBRARY]
