"""Packages with plugins, as pip would have installed them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest


def write_distribution(
    folder: Path, name: str, plugins: Mapping[str, str], *, version: str, file_name: str = ""
) -> None:
    """Write what tells Python of a distribution that has plugins.

    Args:
        folder: Folder of the distribution, on the path of modules.
        name: Name of the distribution.
        plugins: Modules by the names of their entry points.
        version: Version of the distribution.
        file_name: Name of the distribution as its files have it, if it isn't the usual one.
    """
    info = folder / f"{file_name or name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = "".join(f"{point} = {module}\n" for point, module in plugins.items())
    (info / "entry_points.txt").write_text(f"[cifarzoo.plugins]\n{points}")


def install_project(project: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a project of ``plugins/`` for a test, its distribution's files in ``folder``."""
    facts = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    write_distribution(
        folder,
        facts["name"],
        facts["entry-points"]["cifarzoo.plugins"],
        version=facts["version"],
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.syspath_prepend(project / "src")
