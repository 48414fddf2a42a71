"""Where a result comes from: the commits of the current folder and of cifarzoo itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import cifarzoo
from cifarzoo.run_folders.git import git_state
from cifarzoo.run_folders.provenance import provenance

CHECKOUT = Path(cifarzoo.__file__).parents[1]


def git(folder: Path, *arguments: str) -> str:
    name = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    command = ["git", "-C", str(folder), *name, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own repository, which is the current folder."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.gin").write_text("x = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "a")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_state_of_a_folder_is_its_commit_and_whether_files_differ(project):
    commit = git(project, "rev-parse", "HEAD")

    assert git_state(project) == {"commit": commit, "dirty": False}
    (project / "new.gin").write_text("")
    assert git_state(project) == {"commit": commit, "dirty": True}


def test_a_folder_without_a_commit_has_none(tmp_path):
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert git_state(tmp_path) is None


def test_cifarzoos_own_commit_stands_beside_that_of_the_current_folder(project):
    found = provenance(["run"])

    own = git(CHECKOUT, "rev-parse", "HEAD") if (CHECKOUT / ".git").exists() else None
    assert found["git"]["commit"] == git(project, "rev-parse", "HEAD")
    assert (found["cifarzoo"]["git"] or {"commit": None})["commit"] == own


def test_what_is_installed_below_a_checkout_is_not_of_it(project, monkeypatch):
    copy = project / "venv" / "cifarzoo"
    copy.mkdir(parents=True)
    (copy / "__init__.py").write_text("")
    monkeypatch.setattr(cifarzoo, "__file__", str(copy / "__init__.py"))

    assert provenance(["run"])["cifarzoo"]["git"] is None
