"""The kernels, compiled once for all tests of a worker pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarzoo.layers.kernels import operations
from cifarzoo.layers.kernels.build import built
from cifarzoo.layers.kernels.library import Library


@pytest.fixture(scope="session")
def kernels_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers share, and nobody else."""
    folder = tmp_path_factory.getbasetemp().parent / "kernels"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def library(kernels_folder: Path) -> Library:
    """The library that all tests here use."""
    return Library(built(kernels_folder).path)


@pytest.fixture(autouse=True)
def kernels(library: Library) -> None:
    """Every test here has the kernels."""
    operations.use(library)
