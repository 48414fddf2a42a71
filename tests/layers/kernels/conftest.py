"""The kernels, compiled once for all tests of a worker pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarzoo.engine.device.kernels import FOLDER
from cifarzoo.files.own_folders import lasting_cache_folder
from cifarzoo.layers.kernels import operations
from cifarzoo.layers.kernels.build import built
from cifarzoo.layers.kernels.library import Library


@pytest.fixture(scope="session")
def kernels_folder() -> Path:
    """The folder that runs have their library from."""
    return lasting_cache_folder(FOLDER)


@pytest.fixture(scope="session")
def library(kernels_folder: Path) -> Library:
    """The library that all tests here use."""
    return Library(built(kernels_folder).path)


@pytest.fixture(autouse=True)
def kernels(library: Library) -> None:
    """Every test here has the kernels."""
    operations.use(library)
