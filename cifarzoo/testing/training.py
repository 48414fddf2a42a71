"""Runs of two steps with a component: trained, resumed, and on two processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cifarzoo.api.execution import RankJob, train_rank
from cifarzoo.api.global_state import own_global_state
from cifarzoo.api.progress import Calling
from cifarzoo.api.teachers import open_teacher
from cifarzoo.config import Config
from cifarzoo.engine.assembly.failures import unfit
from cifarzoo.engine.assembly.optimizer_trial import OptimizerTrial
from cifarzoo.engine.distributed.launcher import launch
from cifarzoo.engine.distributed.world import pick_device
from cifarzoo.engine.events import ignore_event
from cifarzoo.engine.trial_step import try_run
from cifarzoo.run_folders.folder import STATE, RunFolder, adopt
from cifarzoo.testing.subject import Subject

PARTS = ("model", "averaged", "optimizer", "average", "statistics")
# Of what is computed in float64; a random number that differs shows in the second digit.
SAME_BUT_FOR_ROUNDING = 1e-6


def check_training(subject: Subject, folder: Path) -> None:
    """Train two steps, and test.

    Raises:
        CifarzooError: That can't be done.
    """
    run = trained(subject.config(), folder / "run", data=subject.data)
    if run.record["status"] != "done":
        raise unfit(subject.name, f"ends a run of two steps as {run.record['status']!r}")


def check_resume(subject: Subject, folder: Path) -> None:
    """Go on from the first of two steps, and compare with what went through.

    Raises:
        CifarzooError: It ends elsewhere.
    """
    if problem := difference_when_resumed(subject.config(), folder, data=subject.data):
        raise unfit(
            subject.name,
            f"gives other numbers where a run goes on from step 1: {problem}; what it keeps from "
            "step to step belongs into a state_dict, and what is random comes from draws",
        )


def check_ranks(subject: Subject, folder: Path) -> None:
    """Train on one process and on two, on the CPU and in float64, and compare.

    Raises:
        CifarzooError: They end apart.
    """
    config = subject.config(precision="float64")
    if problem := difference_on_two_ranks(config, folder, data=subject.data):
        raise unfit(
            subject.name,
            f"trains something else on two processes than on one: {problem}; what is random comes "
            "from draws, or from site.draws in a network, since each process draws numbers of its "
            "own from torch's, NumPy's and Python's generators; and an image may not depend on "
            "which others its process has",
        )


def difference_when_resumed(
    config: Config, folder: Path, *, data: Path | None, tried: OptimizerTrial | None = None
) -> str:
    """How a run ends otherwise that goes on from its last checkpoint but one; empty: it doesn't.

    Args:
        config: Config of the run, which saves each of its steps.
        folder: Folder for the runs.
        data: Folder of the data, or None.
        tried: What is known of its optimizer; None: the run is tried first.
    """
    tried = tried or _tried(config, data)
    whole = trained(config, folder / "whole", data=data, tried=tried)
    resumed = RunFolder(folder / "resumed")
    shutil.copytree(whole.path, resumed.path)
    shutil.rmtree(_newest(resumed))
    resumed.update(status="running")
    trained(config, resumed.path, data=data, tried=tried)
    return _difference(_saved(whole), _saved(resumed), tolerance=0.0)


def difference_on_two_ranks(config: Config, folder: Path, *, data: Path | None) -> str:
    """How a run ends otherwise on two processes than on one, on the CPU; empty: it doesn't.

    Args:
        config: Config of the run, which is in float64.
        folder: Folder for the runs.
        data: Folder of the data, or None.
    """
    with _on_cpu() as has_gpu:
        tried, nproc = _tried(config, data), 1 if has_gpu else 0
        alone = trained(config, folder / "alone", data=data, nproc=nproc, tried=tried)
        together = trained(config, folder / "together", data=data, nproc=2, tried=tried)
    return difference_of_runs(alone.path, together.path)


def difference_of_runs(one: Path, other: Path) -> str:
    """How one run ends otherwise than another, but for rounding; empty: it doesn't.

    Args:
        one: Folder of a run.
        other: Folder of another.
    """
    saved, others = (_saved(RunFolder(folder)) for folder in (one, other))
    return _difference(saved, others, tolerance=SAME_BUT_FOR_ROUNDING)


def trained(
    config: Config,
    folder: Path,
    *,
    data: Path | None,
    nproc: int = 0,
    tried: OptimizerTrial | None = None,
) -> RunFolder:
    """Train a run, or go on with it.

    Args:
        config: Config of the run.
        folder: Folder of the run.
        data: Folder of the data, or None.
        nproc: Number of processes that are launched; 0: it is trained in this one.
        tried: What a trial has found of its optimizer; None: the run is tried first.
    """
    job = job_of(config, folder, data=data, tried=tried)
    if nproc:
        launch(train_rank, job, nproc=nproc)
    else:
        with own_global_state():
            torch.set_num_threads(1)  # two steps of four images give more nothing to do
            train_rank(job)
    return RunFolder(job.folder)


def _tried(config: Config, data: Path | None) -> OptimizerTrial:
    """What a trial finds, as the run would before it begins."""
    with own_global_state(), config.locating():
        torch.set_num_threads(1)
        return try_run(config.build(), folder=data, device=pick_device(), open_run=open_teacher)


def job_of(
    config: Config, folder: Path, *, data: Path | None, tried: OptimizerTrial | None = None
) -> RankJob:
    """What a rank needs to train a run, or to go on with it; see ``trained``."""
    opened, _ = adopt(folder, config.text())
    return RankJob(
        config=config,
        folder=opened.path,
        data=data,
        argv=("cifarzoo.testing",),
        progress=Calling(ignore_event),
        tried=tried,
    )


@contextmanager
def _on_cpu() -> Iterator[bool]:
    """Within ``with``, what is launched has a thread and no GPU; gives whether there is a GPU."""
    changed = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in changed}
    has_gpu = pick_device().type != "cpu"
    os.environ.update(changed)
    try:
        yield has_gpu
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _newest(run: RunFolder) -> Path:
    return max(run.checkpoints.glob("step-*"))


def _saved(run: RunFolder) -> dict[str, Any]:
    """What the last checkpoint has of a training, but for its times."""
    # This process has run the code whose state it is, so nothing is won by torch's unpickler for
    # strangers' files, which is written in Python and takes many times as long.
    state = torch.load(_newest(run) / STATE, weights_only=False, map_location="cpu")
    return {name: state[name] for name in PARTS if name in state}


def _difference(one: Any, other: Any, *, tolerance: float, name: str = "") -> str:
    """The first difference between two states, in words; empty: there is none.

    Args:
        one: Part of a state.
        other: The same part of the other state.
        tolerance: Difference that isn't one, relative to the tensor's largest number.
        name: Place of the part in the state.
    """
    match one, other:
        case Tensor(), Tensor():
            return _tensor_difference(one, other, tolerance, name)
        case (Mapping(), Mapping()) | (list(), list()) | (tuple(), tuple()):
            mine, theirs = (dict(_items(part)) for part in (one, other))
            if mine.keys() != theirs.keys():
                key = next(iter(mine.keys() ^ theirs.keys()))
                return f"one has {name}.{key}, and the other hasn't"
            parts = (
                _difference(mine[k], theirs[k], tolerance=tolerance, name=f"{name}.{k}".lstrip("."))
                for k in mine
            )
            return next(filter(None, parts), "")
        case float(), float() if abs(one - other) <= tolerance * abs(one):
            return ""
    return "" if one == other else f"{name} is {one!r} and {other!r}"


def _items(part: Any) -> Any:
    return part.items() if isinstance(part, Mapping) else enumerate(part)


def _tensor_difference(one: Tensor, other: Tensor, tolerance: float, name: str) -> str:
    if one.shape != other.shape:
        return f"{name} is {tuple(one.shape)} and {tuple(other.shape)}"
    if not one.numel() or torch.equal(one, other):
        return ""
    mine, theirs = one.double(), other.double()
    distance, size = (mine - theirs).abs().max().item(), mine.abs().max().item()
    if distance <= tolerance * max(size, 1e-3):
        return ""
    return f"{name} differs by {distance:.2g}, its largest number being {size:.2g}"
