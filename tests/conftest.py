"""What many tests need: one thread a test process, and tasks for tiny runs."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from cifarzoo.engine.device.kernels import load
from cifarzoo.engine.runner import Task
from cifarzoo.layers.kernels.build import UnavailableError
from cifarzoo.layers.kernels.library import Library
from tests.tiny import tiny_task

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Tests in a home folder of their own would build the kernels there, for half a minute.
os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))

# pytest-xdist tells its workers of a terminal of 80 columns, which a pipe is not.
os.environ.pop("COLUMNS", None)

# Ranks and runs that are to be killed are forked from a server that has imported torch once.
multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.tiny"])


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # pytest-xdist fills the cores


@pytest.fixture(autouse=True, scope="session")
def _state_of_these_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a user's commands remember is remembered apart from that of whoever runs the tests."""
    os.environ["CIFARZOO_STATE"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def kernels_are_built() -> None:
    """For tests with caches of their own, which would build them too."""
    with suppress(UnavailableError):
        load()


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., Task]:
    """``task(name, **changes)``: a tiny run in a folder of this test."""
    return partial(tiny_task, tmp_path)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels that were run."""
    names: list[str] = []
    original = Library.call

    def call(self: Library, name: str, *arguments: Any) -> None:
        names.append(name)
        original(self, name, *arguments)

    monkeypatch.setattr(Library, "call", call)
    return names
