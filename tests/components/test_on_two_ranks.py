"""Every component trains on two ranks what it trains on one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from cifarzoo import config
from cifarzoo.api.execution import RankJob, train_rank
from cifarzoo.engine.distributed.environment import STORE
from cifarzoo.engine.distributed.launcher import launch
from cifarzoo.testing.training import difference_of_runs, job_of
from tests.components.test_every_component import (
    HUB,
    LARGEST,
    LEFT_OUT,
    SETTINGS,
    config_text,
    own_components,
)
from tests.small_cifar import small, write_parquets
from tests.tried import TRIED

PARTS = 6  # launches, each of which trains some components one after the other
# Of images as few as these it has matrices with equal eigenvalues, whose eigenvectors are any of
# their space's: the last bit of a gradient decides, and the second moments follow the vectors.
UNDETERMINED = {"soap"}
TESTED = sorted(SETTINGS.keys() - LEFT_OUT - LARGEST - UNDETERMINED)


def differences(names: Sequence[str], root: Path) -> dict[str, str]:
    """How two ranks end otherwise than one, for each component; empty: they don't."""
    alone, together = ([job(name, root / where) for name in names] for where in ("one", "two"))
    for each in alone:
        train_rank(each)
    launch(train_one_after_another, together, nproc=2)
    return {
        name: difference_of_runs(one.folder, two.folder)
        for name, one, two in zip(names, alone, together, strict=True)
    }


def job(name: str, root: Path) -> RankJob:
    kind = own_components()[name]
    data = None
    if kind == "dataset" and name in HUB:
        data = root / f"data-{name}"
        write_parquets(data, small(of=HUB[name][0]), labels_are=HUB[name][1])
    text = f"{config_text(name, kind)}run.precision = 'float64'\n"  # only the order of sums differs
    loaded = config.from_text(text, name=name)
    return job_of(loaded, root / name, data=data, tried=TRIED)  # trials have tests of their own


def train_one_after_another(jobs: Sequence[RankJob]) -> None:
    """Train as one of the ranks, which meet for each run in a place of its own."""
    place = Path(os.environ[STORE])
    for number, each in enumerate(jobs):
        meeting = place / str(number)
        meeting.mkdir(exist_ok=True)
        os.environ[STORE] = str(meeting)
        train_rank(each)


@pytest.mark.parametrize("part", range(PARTS))
def test_two_ranks_train_what_one_does(part, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    found = differences(TESTED[part::PARTS], tmp_path)

    assert {name: problem for name, problem in found.items() if problem} == {}
