"""Plugins that a test writes: files, and packages that are installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tests.installed import write_distribution


@pytest.fixture(autouse=True)
def _no_plugins_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CIFARZOO_PLUGINS", raising=False)


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Path]:
    """``plugin(name, source)``: a plugin file."""

    def write(name: str, source: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(source))
        return path

    return write


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``install(name, point, files)``: a distribution 1.2 with one entry point."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, point: str, files: dict[str, str]) -> Path:
        write_distribution(tmp_path, name, {"zoo": point}, version="1.2")
        for file, source in files.items():
            path = tmp_path / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(dedent(source))
        monkeypatch.syspath_prepend(tmp_path)  # what importlib remembers is forgotten
        return tmp_path

    return write
