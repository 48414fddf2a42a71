"""Git is asked for a commit and runs nothing of the folder, by whichever of its settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cifarzoo.run_folders.git import git_state, is_tracked


def git(folder: Path, *arguments: str) -> str:
    name = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always")
    command = ["git", "-C", str(folder), *name, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True)
class Received:
    """A folder that somebody hands over, and a program in it.

    Attributes:
        folder: Folder with a repository of one commit.
        program: Path of a program, which says by a file that it ran.
        commit: Commit that is checked out.
    """

    folder: Path
    program: Path
    commit: str

    @property
    def ran(self) -> bool:
        return self.program.with_name("ran").exists()

    def set(self, name: str, value: str | Path | None = None) -> None:
        git(self.folder, "config", name, str(self.program if value is None else value))

    def touch(self) -> None:
        """Make git read its file again."""
        os.utime(self.folder / "a.gin", (1, 1))


def repository(folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    git(folder, "init", "--quiet", "-b", "main")
    (folder / "a.gin").write_text("x = 1\n")
    (folder / ".gitattributes").write_text("*.gin filter=x diff=x\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "a")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Received:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n: > {tmp_path / 'ran'}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return Received(tmp_path / "data", program, repository(tmp_path / "data"))


def file_system_monitor(it: Received) -> None:
    it.set("core.fsmonitor")


def clean_filter(it: Received) -> None:
    it.set("filter.x.clean")
    it.touch()


def filter_process(it: Received) -> None:
    it.set("filter.x.process")
    it.touch()


def required_filter(it: Received) -> None:
    clean_filter(it)
    it.set("filter.x.required", "true")


def filter_of_another_name(it: Received) -> None:
    (it.folder / ".git/info/attributes").write_text('*.gin filter=Ä."b.c\n')
    it.set('filter.Ä."b.c.clean')
    it.touch()


def hook(it: Received) -> None:
    (it.folder / ".git/hooks").mkdir(exist_ok=True)
    shutil.copy(it.program, it.folder / ".git/hooks/post-index-change")
    it.touch()


def folder_of_hooks(it: Received) -> None:
    (it.folder / "hooks").mkdir()
    shutil.copy(it.program, it.folder / "hooks/post-index-change")
    it.set("core.hooksPath", it.folder / "hooks")
    it.touch()


def included_file(it: Received) -> None:
    (it.folder / "more").write_text(f'[core]\nfsmonitor = "{it.program}"\n')
    it.set("include.path", "../more")


def filter_of_an_included_file(it: Received) -> None:
    (it.folder / "more").write_text(f'[filter "x"]\nclean = "{it.program}"\n')
    it.set("includeIf.onbranch:main.path", "../more")
    it.touch()


def configuration_of_a_work_tree(it: Received) -> None:
    it.set("extensions.worktreeConfig", "true")
    (it.folder / ".git/config.worktree").write_text(f'[filter "x"]\nclean = "{it.program}"\n')
    it.touch()


def submodule(it: Received) -> None:
    repository(it.folder / "inner")
    git(it.folder, "submodule", "--quiet", "add", "./inner")
    git(it.folder, "commit", "--quiet", "-m", "inner")
    inner = Received(it.folder / "inner", it.program, "")
    inner.set("core.fsmonitor")
    clean_filter(inner)


def partial_clone(it: Received) -> None:
    it.set("extensions.partialClone", "origin")
    it.set("core.repositoryFormatVersion", "1")
    it.set("remote.origin.promisor", "true")
    it.set("remote.origin.url", f"ext::{it.program}")
    it.set("protocol.ext.allow", "always")
    lose_tree(it)


def partial_clone_by_ssh(it: Received) -> None:
    partial_clone(it)
    it.set("remote.origin.url", "ssh://nowhere.invalid/x")
    it.set("core.sshCommand")


def partial_clone_of_a_folder(it: Received) -> None:
    partial_clone(it)
    it.set("remote.origin.url", it.folder)
    it.set("remote.origin.uploadpack")


def lose_tree(it: Received) -> None:
    tree = git(it.folder, "rev-parse", "HEAD^{tree}")
    (it.folder / ".git/objects" / tree[:2] / tree[2:]).unlink()
    (it.folder / "b.gin").write_text("")
    (it.folder / ".git/index").unlink()


def pager(it: Received) -> None:
    for name in ("core.pager", "pager.status", "pager.config", "core.editor", "core.askPass"):
        it.set(name)


def shows_of_differences(it: Received) -> None:
    for name in ("diff.external", "diff.x.textconv", "diff.x.command", "interactive.diffFilter"):
        it.set(name)
    (it.folder / "a.gin").write_text("x = 2\n")


def alias(it: Received) -> None:
    it.set("alias.status", f"!{it.program}")
    it.set("alias.config", f"!{it.program}")


WAYS: dict[Callable[[Received], None], bool] = {  # and whether plain ``git status`` runs it
    file_system_monitor: True,
    clean_filter: True,
    filter_process: True,
    required_filter: True,
    filter_of_another_name: True,
    hook: True,
    folder_of_hooks: True,
    included_file: True,
    filter_of_an_included_file: True,
    configuration_of_a_work_tree: True,
    submodule: True,
    partial_clone: True,
    partial_clone_by_ssh: True,
    partial_clone_of_a_folder: True,
    pager: False,
    shows_of_differences: False,
    alias: False,
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_no_program_of_the_folder_runs(received, way):
    way(received)
    clone = received.folder.with_name("copy")
    shutil.copytree(received.folder, clone, symlinks=True)

    state = git_state(received.folder)

    assert not received.ran
    if "partial" not in way.__name__:  # whose objects aren't there
        assert state is not None
        assert state["commit"] == git(received.folder, "rev-parse", "HEAD")
    subprocess.run(
        ["git", "-C", str(clone), "status"], capture_output=True, check=False, timeout=60
    )
    assert received.ran == WAYS[way]


def test_a_folder_that_is_itself_a_bare_repository_runs_nothing(received, monkeypatch):
    bare = received.folder.with_name("bare")
    (received.folder / ".git").rename(bare)
    it = Received(bare, received.program, received.commit)
    it.set("core.bare", "false")
    it.set("core.worktree", received.folder)
    it.set("core.fsmonitor")
    monkeypatch.chdir(bare)

    git_state(bare)

    assert not received.ran


def test_a_file_that_names_another_git_folder_runs_nothing_of_that(received):
    (received.folder / ".git").rename(received.folder.with_name("elsewhere"))
    (received.folder / ".git").write_text("gitdir: ../elsewhere\n")
    file_system_monitor(received)

    assert git_state(received.folder) == {"commit": received.commit, "dirty": False}
    assert not received.ran


def test_a_filter_whose_name_cannot_be_turned_off_is_no_answer(received):
    (received.folder / ".git/info/attributes").write_text("*.gin filter=a=b\n")
    received.set("filter.a=b.clean")
    received.touch()

    assert git_state(received.folder) is None
    assert not received.ran


def test_a_program_called_git_in_the_current_folder_is_not_git(received, monkeypatch):
    received.program.rename(received.program.with_name("git"))
    for path in (".", "", "../" + received.program.parent.name):
        monkeypatch.setenv("PATH", f"{path}{os.pathsep}{os.environ['PATH']}")
        assert git_state(received.folder) == {"commit": received.commit, "dirty": False}
    monkeypatch.setenv("PATH", ".")
    assert git_state(received.folder) is None
    assert not received.ran


def test_variables_of_a_hook_that_starts_a_command_mean_no_other_repository(
    received, tmp_path, monkeypatch
):
    repository(tmp_path / "other")
    other = Received(tmp_path / "other", received.program, "")
    other.set("core.fsmonitor")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.folder / ".git/index"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(received.program))
    monkeypatch.setenv("GIT_PAGER", str(received.program))
    monkeypatch.setenv("GIT_CONFIG", str(tmp_path / "none"))

    assert git_state(received.folder) == {"commit": received.commit, "dirty": False}
    assert not received.ran


def test_names_that_are_no_text_are_no_hindrance(received):
    received.set("core.quotePath", "false")
    Path(os.fsdecode(os.fsencode(received.folder) + b"/\xff.gin")).write_text("")

    assert git_state(received.folder) == {"commit": received.commit, "dirty": True}


def test_a_file_is_tracked_or_is_not(received):
    file_system_monitor(received)

    assert is_tracked(received.folder / "a.gin")
    assert not is_tracked(received.folder / "none.gin")
    assert not received.ran
