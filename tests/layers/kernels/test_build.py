"""The library is compiled once, kept for this user and machine, and made anew if it is damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cifarzoo.layers.kernels import build
from cifarzoo.layers.kernels.build import UnavailableError, built, openmp


@pytest.fixture
def folder(kernels_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has a library, by a compiler that has one in store."""
    monkeypatch.setenv("CXX", str(compiler(tmp_path, from_store(built(kernels_folder).path))))
    there = tmp_path / "kernels"
    there.mkdir(mode=0o700)
    assert built(there).seconds is not None
    return there


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A folder that has nothing yet."""
    folder = tmp_path / "new"
    folder.mkdir(mode=0o700)
    return folder


def compiler(tmp_path: Path, text: str) -> Path:
    """A program that is called in a compiler's place."""
    path = tmp_path / "fake-c++"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def from_store(library: Path) -> str:
    """What a compiler does that copies ``library``."""
    return f'while [ "$1" != -o ]; do shift; done; cp {library} "$2"'


def test_a_library_that_is_there_is_taken_without_a_compilation(folder):
    assert built(folder).seconds is None


def test_of_processes_that_start_together_one_compiles(new, kernels_folder, tmp_path, monkeypatch):
    log = tmp_path / "log"
    stored = from_store(built(kernels_folder).path)
    monkeypatch.setenv("CXX", str(compiler(tmp_path, f"echo >> {log}; sleep 2; {stored}")))
    code = "import torch; from cifarzoo.layers.kernels.build import built; from pathlib import Path"
    code += f"; print(built(Path({str(tmp_path / 'new')!r})).path)"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    paths = {process.communicate(timeout=200)[0] for process in started}

    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(paths) == 1
    assert Path(paths.pop().strip()).is_file()
    assert log.read_text() == "\n"


@pytest.mark.parametrize("damage", ["flipped", "no note", "a link"])
def test_a_damaged_library_is_made_anew(folder, damage, tmp_path):
    path = built(folder).path
    whole = path.read_bytes()
    if damage == "flipped":
        path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    elif damage == "no note":
        path.with_suffix(".sha256").unlink()
    else:
        path.rename(tmp_path / "elsewhere.so")
        path.symlink_to(tmp_path / "elsewhere.so")

    again = built(folder)

    assert again.path == path
    assert again.seconds is not None
    assert not path.is_symlink()
    assert built(folder).seconds is None


def test_without_a_compiler_it_says_where_it_looked(new, tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"no C\+\+ compiler \(looked for c\+\+, g\+\+, cla"):
        built(new)
    monkeypatch.setenv("CXX", "icc")
    with pytest.raises(
        UnavailableError, match=r"no C\+\+ compiler \(CXX names 'icc', which is none\)"
    ):
        built(new)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("echo 'x.cpp:3: error: no OpenMP' >&2; exit 1", "cannot compile them: x.cpp:3: error"),
        ("exit 7", "cannot compile them: exit code 7"),
        ('while [ "$1" != -o ]; do shift; done; echo x > "$2"', "does not run here"),
    ],
)
def test_a_compiler_that_fails_is_quoted_in_a_line(new, tmp_path, monkeypatch, text, says):
    monkeypatch.setenv("CXX", str(compiler(tmp_path, text)))

    with pytest.raises(UnavailableError, match=says):
        built(new)

    assert [path.name for path in (new).iterdir()] == ["kernels.lock"]


def test_a_folder_that_is_none_is_named(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(UnavailableError, match="file"):
        built(tmp_path / "file" / "kernels")


def test_machines_that_it_is_not_written_for_are_told(new, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(UnavailableError, match="none for Linux on riscv64"):
        built(new)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(build, "_features", lambda: "sse2 avx")
    with pytest.raises(UnavailableError, match="no fused multiply-add"):
        built(new)


def test_another_processor_gets_a_library_of_its_own(folder, monkeypatch):
    here = built(folder)
    features = build._features()
    monkeypatch.setattr(build, "_features", lambda: f"{features} zz_new")

    there = built(folder)

    assert there.path != here.path
    assert there.code == here.code


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="named as on x86_64")
def test_torchs_openmp_is_the_only_one():
    assert Path(openmp()).name.startswith("libgomp")
