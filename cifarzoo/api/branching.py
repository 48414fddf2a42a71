"""A run that begins where another one stood, for longer or by another schedule.

It is a run of its own, which names its parent; all but its length, its schedule and its seed is
as it was there, since the optimizer goes on with what it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifarzoo.api.identity import compare
from cifarzoo.components.user_paths import expanded
from cifarzoo.config import Config
from cifarzoo.config.effective import decides_numbers
from cifarzoo.errors import UsageError
from cifarzoo.run_folders.disclosure import disclosed
from cifarzoo.run_folders.finding import find_run
from cifarzoo.run_folders.folder import CHECKPOINTS, STEP, RunFolder, saved_steps

FREE = frozenset(
    {
        *("run.epochs", "run.max_steps", "run.schedule", "run.seed", "run.eval_images"),
        *("run.precision", "run.channels_last", "run.compile", "run.deterministic"),
        "run.micro_batch_size",
    }
)


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A checkpoint of another run.

    Attributes:
        folder: Folder of that run.
        step: Optimizer steps that it had done.
    """

    folder: RunFolder
    step: int

    @property
    def record(self) -> dict[str, Any]:
        """What run.json says of it."""
        return {
            "run": str(self.folder.path.resolve()),
            "step": self.step,
            "config": self.folder.config_digest,
        }


def find_parent(name: str | Path, *, out: Path) -> Parent:
    """The checkpoint that a user means.

    Args:
        name: Name of a run, whose newest checkpoint is meant; or path of a checkpoint's folder.
        out: Where runs are.

    Raises:
        UsageError: There is no such run or checkpoint.
    """
    path, wanted = expanded(name), None
    if path.parent.name == CHECKPOINTS and path.name.removeprefix(STEP).isdecimal():
        wanted = int(path.name.removeprefix(STEP))
        folder = find_run(str(path.parents[1]), out)
    else:
        folder = find_run(str(name), out)
    steps = saved_steps(folder.checkpoints)
    if not steps:
        raise UsageError(f"{folder.path} has no checkpoint yet")
    if wanted is not None and wanted not in steps:
        these = ", ".join(map(str, steps))
        raise UsageError(f"{folder.path} has no checkpoint of step {wanted}; it has {these}")
    return Parent(folder=folder, step=steps[-1] if wanted is None else wanted)


def check_parent(parent: Parent, config: Config) -> None:
    """Refuse to go on from ``parent`` with what doesn't fit its optimizer, network or data.

    Raises:
        UsageError: More than the length, the schedule, the learning rate and the seed is otherwise.
    """
    wrong = compare(parent.folder, config, counts=_has_to_be_the_same)
    if wrong.phrases:
        raise UsageError(
            f"{parent.folder.path} cannot be gone on from: {'; '.join(wrong.phrases)}; expected "
            "the same but for length, schedule, learning rate and seed"
        )


def note_parent(folder: RunFolder, parent: Parent, *, is_new: bool) -> None:
    """Have the run in ``folder`` begin from ``parent``.

    Args:
        folder: Folder of the run.
        parent: Checkpoint that it begins from.
        is_new: Whether nothing was done in it before.

    Raises:
        UsageError: There is a run in it that began otherwise.
    """
    record = folder.record
    there, here = record.get("parent"), disclosed({**record, "parent": parent.record})["parent"]
    if not is_new and there not in (here, parent.record):  # as an older cifarzoo wrote it
        began = f"at step {there['step']} of {there['run']}" if there else "at its first step"
        raise UsageError(f"{folder.path} holds a run that began {began}; choose another --run-dir")
    folder.update(parent=parent.record)


def _has_to_be_the_same(name: str) -> bool:
    kind, _, parameter = name.rpartition("/")[2].partition(".")
    is_rate = kind == "optimizer" and parameter.endswith(".lr")
    return decides_numbers(name) and name not in FREE and kind != "schedule" and not is_rate
