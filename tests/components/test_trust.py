"""Plugins that this user's runs began with are known by their digests, and no others."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from cifarzoo.components.plugin_files import read_plugins
from cifarzoo.components.plugins import catalogue
from cifarzoo.components.trust import is_known, remember, state_folder
from tests.components.flat import FLAT


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder that isn't there yet."""
    monkeypatch.setenv("CIFARZOO_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def written(path: Path, value: int = 1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FLAT.format(name="known_flat", value=value))
    return read_plugins([path], variable="")[0]


def test_bytes_that_were_remembered_are_known_wherever_they_lie(state: Path, tmp_path: Path):
    mine, copy = written(tmp_path / "mine.py"), written(tmp_path / "r/plugins/mine.py")
    other = written(tmp_path / "other.py", value=2)
    assert not is_known(mine)

    assert remember([mine]) == ""

    assert (is_known(mine), is_known(copy), is_known(other)) == (True, True, False)
    assert [path.name for path in (state / "plugins").iterdir()] == [mine.sha256]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (state, state / "plugins")]
    assert modes == [0o700, 0o700]


def test_nothing_to_remember_makes_no_folder(state: Path):
    assert remember([]) == ""
    assert not state.exists()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HOME": "/home/me"}, "/home/me/.local/state/cifarzoo"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "/s"}, "/s/cifarzoo"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "here"}, "/home/me/.local/state/cifarzoo"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "/s", "CIFARZOO_STATE": "~/c"}, "/home/me/c"),
    ],
)
def test_where_it_is_remembered(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
):
    for name in ("XDG_STATE_HOME", "CIFARZOO_STATE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert state_folder() == Path(expected)


def test_many_processes_remember_at_once(state: Path, tmp_path: Path):
    plugins = [written(tmp_path / f"{number}.py", number) for number in range(20)]
    with multiprocessing.get_context("fork").Pool(8) as pool:
        said = pool.map(remember, [plugins[start:] + plugins[:start] for start in range(20)])

    assert said == [""] * 20
    assert all(map(is_known, plugins))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_to_is_not_believed(mode: int, state: Path, tmp_path: Path):
    plugin = written(tmp_path / "mine.py")
    remember([plugin])
    (state / "plugins").chmod(mode)

    assert not is_known(plugin)
    assert "others can write to it; expected a folder of yours, mode 700" in remember([plugin])


def test_a_link_is_no_note(state: Path, tmp_path: Path):
    plugin = written(tmp_path / "mine.py")
    (state / "plugins").mkdir(parents=True, mode=0o700)
    (state / "plugins").chmod(0o700)
    (state / "plugins" / plugin.sha256).symlink_to(tmp_path / "mine.py")

    assert not is_known(plugin)
    said = remember([plugin])
    assert f"{state}/plugins/{plugin.sha256}: it is no file of yours; delete it" in said


def test_where_nothing_can_be_written_it_is_said_and_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CIFARZOO_STATE", str(tmp_path / "file" / "below"))
    plugin = written(tmp_path / "mine.py")

    assert not is_known(plugin)
    assert remember([plugin]) == (
        f"the run's plugins cannot be noted as yours ({tmp_path}/file/below: Not a directory): "
        "what continues or tests it will need --trust-plugins (in Python trust_plugins=True); "
        "CIFARZOO_STATE names a folder that can be written to"
    )


def test_a_user_without_a_home_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("XDG_STATE_HOME", "CIFARZOO_STATE", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])  # as of a container's unknown user

    assert "there is no home folder ~" in remember([written(tmp_path / "mine.py")])


@pytest.mark.parametrize(
    "extra", [".hidden.py", "fast.pyc", "data/w.pkl", "runs/x", "sub/__pycache__/a"]
)
def test_a_folder_is_known_as_a_whole(extra: str, state: Path, tmp_path: Path):
    written(tmp_path / "mine/a.py")
    [folder] = read_plugins([tmp_path / "mine"], variable="")
    remember([folder])
    assert is_known(folder)

    (folder.path / extra).parent.mkdir(parents=True, exist_ok=True)
    (folder.path / extra).write_text("")

    [again] = read_plugins([tmp_path / "mine"], variable="")
    assert again.sha256 == folder.sha256  # which doesn't cover it
    assert not is_known(again)


def test_what_is_named_wins_over_a_copy_of_the_same_bytes(state: Path, tmp_path: Path):
    written(tmp_path / "r/plugins/copy.py")
    named = written(tmp_path / "named.py")

    copied = catalogue(kept=[tmp_path / "r/plugins/copy.py"])
    both = catalogue([named.path], kept=[tmp_path / "r/plugins/copy.py"])

    assert not copied.entries["known_flat"].is_trusted
    assert both.entries["known_flat"].is_trusted
    assert os.fspath(both.entries["known_flat"].path) == str(named.path)
