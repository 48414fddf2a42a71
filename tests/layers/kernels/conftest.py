"""The kernels, compiled once for all tests of a worker pool; or those of GPUs, interpreted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cifarzoo.engine.device.kernels import FOLDER
from cifarzoo.files.own_folders import lasting_cache_folder
from cifarzoo.layers.kernels import operations
from cifarzoo.layers.kernels.build import built
from cifarzoo.layers.kernels.library import Library

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # see test_on_gpus


@pytest.fixture(scope="session")
def kernels_folder() -> Path:
    """The folder that runs have their library from."""
    return lasting_cache_folder(FOLDER)


@pytest.fixture(scope="session")
def library(kernels_folder: Path) -> Library:
    """The library that all tests here use."""
    return Library(built(kernels_folder).path)


@pytest.fixture(autouse=True)
def kernels(request: pytest.FixtureRequest) -> None:
    """Every test here has the kernels."""
    if IS_INTERPRETED:
        operations.use_triton("CPU")
    else:
        operations.use(request.getfixturevalue("library"))
