"""What torch compiles lies in a folder of this user's own, and never in one that can be guessed."""

from __future__ import annotations

import getpass
import os
import stat
import tempfile
from pathlib import Path

import pytest
import torch

from cifarzoo.engine.device.compiling import compile_network
from cifarzoo.files.own_folders import VARIABLE, cache_folder, compile_cache


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path / "caches"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_lies_below_the_users_own_caches_and_is_private(caches):
    assert compile_cache() == caches / "cifarzoo/torch"
    assert os.environ[VARIABLE] == str(caches / "cifarzoo/torch")
    assert mode(caches / "cifarzoo/torch") == mode(caches / "cifarzoo") == 0o700


def test_a_folder_that_is_open_to_others_is_closed(caches):
    (caches / "cifarzoo/torch").mkdir(parents=True)
    (caches / "cifarzoo/torch").chmod(0o777)

    compile_cache()

    assert mode(caches / "cifarzoo/torch") == 0o700


def test_what_the_user_names_is_taken_and_torchs_own_choice_is_not(caches, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    assert compile_cache() == tmp_path / "mine"

    of_torch = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}"
    monkeypatch.setenv(VARIABLE, str(of_torch))
    assert compile_cache() == caches / "cifarzoo/torch"


@pytest.mark.parametrize("home", ["", "/proc/none"])
def test_without_a_home_it_is_a_private_folder_of_a_name_that_nobody_guesses(
    caches, monkeypatch, home
):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which its specification has ignored
    monkeypatch.setenv("HOME", home or "/proc/none")

    folder = cache_folder("torch")

    assert folder.parent == Path(tempfile.gettempdir())
    assert mode(folder) == 0o700
    folder.rmdir()


def test_a_link_in_its_place_is_not_taken(caches, tmp_path):
    (tmp_path / "theirs").mkdir()
    (caches / "cifarzoo").mkdir(parents=True)
    (caches / "cifarzoo/torch").symlink_to(tmp_path / "theirs")

    folder = cache_folder("torch")

    assert folder.parent == Path(tempfile.gettempdir())
    folder.rmdir()


def test_precompiled_headers_lie_there_too(caches, monkeypatch):
    """For which torch doesn't look at its variable."""
    from torch._inductor import codecache

    for name in ("_HEADER_DIR", "_HEADER_LOCK_DIR"):
        monkeypatch.setattr(codecache, name, getattr(codecache, name))
    compile_network(torch.nn.Linear(2, 2))

    for place in (codecache._HEADER_DIR, codecache._HEADER_LOCK_DIR):
        assert Path(place).is_relative_to(caches / "cifarzoo/torch")
