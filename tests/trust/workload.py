"""What the checks train: seconds of everything that changes state, and how finals are compared."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cifarzoo.engine import loop
from cifarzoo.engine.distributed.launcher import launch
from cifarzoo.engine.events import Event, ResumedEvent, StoppedEvent, WarningEvent, to_json
from cifarzoo.engine.runner import execute
from cifarzoo.engine.state import digest_of
from cifarzoo.errors import CifarzooError
from cifarzoo.run_folders.folder import PREDICTIONS, RunFolder
from cifarzoo.zoo.augmentations.normalize import normalize
from cifarzoo.zoo.optimizers.sgd import sgd
from cifarzoo.zoo.regularizers.average.ema import ema
from cifarzoo.zoo.regularizers.batch.mixup import mixup
from cifarzoo.zoo.regularizers.branch.shake_drop import shake_drop
from cifarzoo.zoo.regularizers.loss.label_smoothing import label_smoothing
from tests.tiny import dimmed, dropping_net, tiny_task
from tests.trust.attempts import Ended, say_into_log

TIMES = ("images_per_second", "seconds")
PROGRESS = "progress"  # beside the run's folder: the newest step that was done

Patch = Callable[[], None]


EVERYTHING: dict[str, Any] = {
    "architecture": dropping_net,
    "augmentations": [normalize, dimmed],
    "regularizers": [shake_drop, mixup, label_smoothing, partial(ema, decay=0.9)],
    "optimizer": partial(sgd, lr=0.05),
    "validation_images": 32,
    "checkpoint_steps": 10,
    "epochs": 4,
}


def train(root: Path, name: str, changes: dict[str, Any], patches: tuple[Patch, ...] = ()) -> int:
    """Train ``root/name`` in this process; the exit code that the command line would give.

    Args:
        root: Where runs and notes about them lie.
        name: Of the run's folder.
        changes: To ``tiny_run``.
        patches: Called first; each arms a fault.
    """
    torch.set_num_threads(1)
    note_progress(root, name)
    for patch in patches:
        patch()
    try:
        execute(tiny_task(root, name, **changes), [warn])
    except CifarzooError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def train_on_ranks(
    root: Path,
    name: str,
    changes: dict[str, Any],
    patches: tuple[Patch, ...] = (),
    nproc: int = 2,
    *,
    max_restarts: int = 0,
) -> int:
    """``train`` on ``nproc`` launched ranks, each of which calls ``patches`` in each attempt."""
    job = (root, name, changes, patches)
    try:
        launch(
            work,
            job,
            nproc=nproc,
            max_restarts=max_restarts,
            warn=lambda message: warn(WarningEvent(message=message)),
        )
    except CifarzooError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def work(job: tuple[Path, str, dict[str, Any], tuple[Patch, ...]]) -> None:
    """What a launched rank does."""
    say_into_log()
    root, name, changes, patches = job
    (root / f"{name}.rank{os.environ['RANK']}").write_text(str(os.getpid()))
    note_progress(root, name)
    for patch in patches:
        patch()
    execute(tiny_task(root, name, **changes), [warn])


def warn(event: Event) -> None:
    """Write what a user would be told where an attempt's log has it."""
    if isinstance(event, WarningEvent | ResumedEvent | StoppedEvent):
        sys.stderr.write(f"{to_json(event)}\n")
        sys.stderr.flush()


def note_progress(root: Path, name: str) -> None:
    """Keep the newest step of rank 0 in a file, which outlives the process."""
    if os.environ.get("RANK", "0") != "0":
        return
    try:
        file = os.open(root / f"{name}.{PROGRESS}", os.O_WRONLY | os.O_CREAT)
    except OSError:  # a disk that is read-only
        return
    emit = loop.emit_step

    def tell_and_note(training: Any) -> None:
        os.pwrite(file, f"{training.state.step:8d}".encode(), 0)
        emit(training)

    loop.emit_step = tell_and_note


def newest_step(root: Path, name: str) -> int:
    """The newest step that an attempt did; 0 before the first."""
    try:
        return int((root / f"{name}.{PROGRESS}").read_text() or 0)
    except FileNotFoundError:
        return 0


def saved_step(folder: RunFolder) -> int:
    """The step of the newest checkpoint; 0 where there is none."""
    names = [path.name.removeprefix("step-") for path in folder.checkpoints.glob("step-*")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def leftovers(folder: RunFolder) -> list[str]:
    """What a killed save or write left in a run's folder."""
    hidden = [path.name for path in folder.path.rglob(".*")]
    return sorted(name for name in hidden if name != ".lock")


def finals(folder: RunFolder) -> dict[str, str]:
    """Digests of all that two attempts at the same run must share, by part.

    Wall times are left out; every other byte counts.
    """
    newest = folder.checkpoints / f"step-{saved_step(folder):08d}"
    state = torch.load(newest / "state.pt", weights_only=True)
    numbers = {k: v for k, v in state["numbers"].items() if k != "train_seconds"}
    lines = [{k: v for k, v in line.items() if k not in TIMES} for line in folder.metrics()]
    record = folder.record
    result = {k: record.get(k) for k in ("status", "test_error", "test_loss", "weights_sha256")}
    file = folder.path / PREDICTIONS
    predictions = file.read_bytes().hex() if file.exists() else None
    steps = sorted(path.name for path in folder.checkpoints.iterdir())
    of_files = {"metrics": lines, "result": result, "kept": steps, "predictions": predictions}
    parts = {**state, "numbers": numbers, **of_files}
    return {name: digest(part) for name, part in parts.items() if name != "metrics_size"}


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The parts in which two finals differ."""
    return sorted(name for name in one | other if one.get(name) != other.get(name))


def shortfalls(
    ended: Ended,
    folder: RunFolder,
    expected: dict[str, str],
    *,
    what: str = "",
    ignored: tuple[str, ...] = (),
) -> list[str]:
    """What is wrong with a run that should have come to ``expected``; nothing: it has.

    Args:
        ended: How its last attempt ended.
        folder: Of the run; read only if that went well.
        expected: ``finals`` of a run that met no fault.
        what: Begins the line on an attempt that failed, such as ``then ``.
        ignored: Parts that may differ.
    """
    if ended.code:
        return [f"{what}ended with {ended.code}: {ended.said[-300:]}"]
    differing = [part for part in differences(expected, finals(folder)) if part not in ignored]
    return [f"differs in {', '.join(differing)}"] * bool(differing)


def kill_now() -> None:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def digest(value: Any) -> str:
    """SHA-256 (hex) of all that a nested state holds."""
    flat: dict[str, Any] = {}
    plain: list[str] = []
    flatten(value, "", flat, plain)
    return hashlib.sha256("\n".join([digest_of(flat), *plain]).encode()).hexdigest()


def flatten(value: Any, name: str, tensors: dict[str, Any], plain: list[str]) -> None:
    """Add all that a nested state holds to ``tensors``, by where it is, and to ``plain``."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value
    elif isinstance(value, dict):
        for key, part in value.items():
            flatten(part, f"{name}.{key}", tensors, plain)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            flatten(part, f"{name}[{index}]", tensors, plain)
    else:
        plain.append(f"{name} = {value!r}")
