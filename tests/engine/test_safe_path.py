"""Files of the current folder take the place of no module, in the command or in its ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from cifarzoo.engine.distributed import current_folder
from cifarzoo.engine.distributed.current_folder import leave_current_folder, safe_order
from cifarzoo.engine.distributed.safe_path import safe_path
from tests.cli.small_run import CONFIG

PACKAGES = {*filter(str.isidentifier, packages_distributions()), "cifarzoo"}


def has_file(name: str) -> bool:
    """Whether a module is one of this machine's, and no folder without ``__init__.py``."""
    spec = PathFinder.find_spec(name)
    return spec is not None and spec.origin is not None


NAMES = {name for name in (*sys.stdlib_module_names, *PACKAGES) if has_file(name)}
AT_START = {"sitecustomize", "usercustomize"}
# As the script ``cifarzoo`` starts: the current folder isn't on the path of its own process.
AS_SCRIPT = "import sys; sys.path.remove(''); from cifarzoo.cli import main; main()"
# What the launcher starts ranks by, where ``sys.path`` is as above, as for another script, and as
# where variables are ignored.
START = """
from multiprocessing import forkserver, get_context, resource_tracker
from cifarzoo.engine.distributed.safe_path import safe_path, safe_start
context = get_context("forkserver")
context.set_forkserver_preload(["cifarzoo.errors", "argparse"])
with safe_path():
    with safe_start():
        resource_tracker.ensure_running()
        forkserver.ensure_running()
    process = context.Process(target=print, args=("started",))
    process.start()
    process.join()
"""
LEAVE = "from cifarzoo.engine.distributed.current_folder import leave_current_folder as leave"
AS_SCRIPT_START = f"import sys; sys.path.remove(''); {LEAVE}; leave()" + START
WITHOUT_VARIABLES = f"import sys; sys.path[0] = {current_folder.HOME!r}" + START
HOSTILE = """
import os
os.close(os.open({mark!r}, os.O_CREAT))
raise SystemExit({name!r} + " of the current folder")
"""
PLUGIN = """
from cifarzoo import register

@register.schedule
def half():
    "Half the rate, always."
    return lambda moment: 0.5
"""
RUN = (*("run", "small.gin", "-n", "2", "-s", "run.max_steps=1", "--run-dir", "r"),)


def lay(folder: Path, names: set[str]) -> None:
    """Write a file by each of ``names`` that says if it is imported."""
    for name in names:
        text = HOSTILE.format(mark=f"{folder}/imported-{name}", name=name)
        (folder / f"{name}.py").write_text(text)


def imported(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("imported-*")]


@pytest.fixture
def received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config and a plugin of one's own, in which a command is given."""
    (tmp_path / "small.gin").write_text(CONFIG)
    (tmp_path / "mine.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": current_folder.HOME + path},
        capture_output=True,
        text=True,
        check=False,
    )


def needed_to_start() -> set[str]:
    """Modules that ``python -m`` itself imports before anything of ours: where it looks."""
    code = "import contextlib, importlib.util, pkgutil, runpy, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    return {*done.stdout.decode().split(), "cifarzoo", *AT_START}


def test_ranks_import_nothing_from_the_current_folder_but_the_plugin_that_is_named(received):
    lay(received, NAMES | PACKAGES | AT_START)

    done = python("-c", AS_SCRIPT, *RUN, "-p", "mine.py", "-s", "run.schedule=@half")

    assert done.returncode == 0, done.stderr
    assert (received / "r/plugins/mine.py").read_text() == PLUGIN
    assert imported(received) == []


@pytest.mark.parametrize(
    "arguments", [("-c", AS_SCRIPT_START), ("-E", "-c", WITHOUT_VARIABLES)], ids=["", "-E"]
)
def test_nor_does_what_starts_them_also_where_python_ignores_variables(received, arguments):
    lay(received, NAMES | PACKAGES | AT_START)

    done = python(*arguments)

    assert (done.stdout, done.stderr) == ("started\n", "")
    assert imported(received) == []


@pytest.mark.parametrize("path", ["", ":", ":.", "::sub/..:"])
def test_started_as_a_module_a_command_imports_nothing_from_there(received, path):
    (received / "sub").mkdir()
    own = needed_to_start()
    lay(received, NAMES - own)
    assert {"__future__", "argparse", "json", "logging", "queue"} <= NAMES - own

    done = python("-m", "cifarzoo", "check", "small.gin", path=path)

    assert (done.returncode, done.stderr) == (0, "")
    assert imported(received) == []


def test_nor_does_what_starts_ranks_if_python_path_names_it_relatively(received):
    lay(received, NAMES - needed_to_start())

    done = python("-c", AS_SCRIPT_START, path=":.")

    assert (done.stdout, done.stderr) == ("started\n", "")
    assert imported(received) == []


def test_what_a_script_starts_imports_nothing_there_as_it_starts(received):
    lay(received, AT_START)

    done = python("-c", START)

    assert (done.stdout, done.stderr) == ("started\n", "")
    assert imported(received) == []


def test_python_that_a_command_starts_does_not_look_there(received, monkeypatch):
    for name in ("PYTHONSAFEPATH", "PYTHONPATH"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(sys, "path", [*sys.path])

    leave_current_folder()

    code = "import json, sys; print(json.dumps(sys.path))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert not {"", str(received)} & {*json.loads(done.stdout)}


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
    monkeypatch.chdir(current_folder.HOME)
    monkeypatch.delenv("PYTHONPATH", raising=False)

    order = safe_order(["", LIBRARY, f"{LIBRARY}/lib-dynload", "/site"], keep=False)

    assert order == [LIBRARY, f"{LIBRARY}/lib-dynload", current_folder.HOME, "/site"]


def test_a_current_folder_that_is_gone_is_no_hindrance(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys, "path", ["", LIBRARY])
    monkeypatch.setenv("PYTHONSAFEPATH", "")  # which is set, for processes that are started

    leave_current_folder()

    assert sys.path == [LIBRARY]


def test_a_folder_of_a_relative_name_comes_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    monkeypatch.setenv("PYTHONPATH", "src:.::/own")

    here = [f"{tmp_path}/src", str(tmp_path), "/own", LIBRARY]

    last = [f"{tmp_path}/src", str(tmp_path)]
    assert safe_order(here, keep=False) == ["/own", LIBRARY, *last]
    monkeypatch.setattr(sys, "path", here)
    with safe_path():
        assert sys.path == ["/own", LIBRARY, *last]
        assert os.environ["PYTHONPATH"] == f"/own:{LIBRARY}"
    assert sys.path == here
    assert os.environ["PYTHONPATH"] == "src:.::/own"


def test_a_folder_that_is_named_in_full_and_relatively_stays_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:.")

    assert safe_order([str(tmp_path), LIBRARY], keep=False) == [str(tmp_path), LIBRARY]
