"""The promises of docs/trust.md, and which checks try to break each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What a user may rely on.

    Attributes:
        title: In a few words.
        text: In full.
        checks: Ids of the checks that try to break it.
    """

    title: str
    text: str
    checks: tuple[str, ...]


INTRODUCTION = """# What can be relied on

Each promise has figures from a run of `make trust`, which injects faults into real runs and counts
what comes of them. Anyone can run it: two cores are enough, and no GPU is needed. This file is made
by it from `trust.json` beside it, and never edited by hand. "Byte-equal" compares weights, buffers,
optimizer, averages, loss scale, counters, metrics and result with a run that nothing happened to.
"""

PROMISES = (
    Promise(
        title="Resuming is exact",
        text=(
            "End a run at any moment and in any way, and give the same command again: its "
            "last weights, buffers, optimizer, averages, loss scale, best score and metrics "
            "are the bytes that it would have had without the interruption. That holds in "
            "mid-epoch, and for every registered component, plugins included. It is meant "
            "for the same config, number of processes and threads, machine and software."
        ),
        checks=("R1", "R2", "R3", "R4", "R5"),
    ),
    Promise(
        title="At most one interval is lost",
        text=(
            "`kill -9` costs at most the steps since the last checkpoint. SIGTERM, SIGINT "
            "(Ctrl-C), SIGUSR1, SIGUSR2 and a terminal that is closed cost none once "
            "training has begun: the step is ended, a checkpoint written, and the exit code "
            "is 75. Processes that lose their launcher save and end; none is left behind."
        ),
        checks=("R1", "R2", "S1", "S2"),
    ),
    Promise(
        title="Damage is never loaded",
        text=(
            "A checkpoint, config or dataset file that is damaged, or that does not fit, is "
            "refused in one line that says what was found, where, and what to do. A damaged "
            "checkpoint is passed over for the one before it, with a warning, and so is one whose "
            "digests are right and whose content makes no sense; if all are damaged, the run "
            "isn't silently started over."
        ),
        checks=("C1", "C2", "C6", "B1"),
    ),
    Promise(
        title="A save that fails costs nothing else",
        text=(
            "A full or read-only disk ends neither the run nor the older checkpoints, of "
            "which there is always a whole one. What is written is on the disk before it "
            "has its name."
        ),
        checks=("C3", "C4"),
    ),
    Promise(
        title="One run a folder",
        text=(
            "A second run in the folder of a live one is refused by name of who is there. A "
            "run that was killed keeps nobody out, whatever processes it leaves behind."
        ),
        checks=("C5",),
    ),
    Promise(
        title="Any number of processes gives the same answer",
        text=(
            "Gradients are those of one process up to the order of floating-point sums, "
            "each test image is counted once, a run goes on with another number of "
            "processes, and what hangs ends within the stated time."
        ),
        checks=("R6", "D1", "D2", "D3", "D4", "D5"),
    ),
    Promise(
        title="Numbers that are not finite stop a run",
        text=(
            "A loss, gradient, weight or buffer that isn't finite ends the run with exit "
            "code 4 before it is saved, and the message names it, the step, the learning "
            "rate and the images. A loss that grows beyond chance is warned of."
        ),
        checks=("N1",),
    ),
    Promise(
        title="Data runs no code",
        text=(
            "Checkpoints and datasets are read without running anything that they contain, "
            "also when their digests are right. Configs and plugins are code: read them "
            "before you run them."
        ),
        checks=("C2", "B1"),
    ),
    Promise(
        title="Exit codes mean something",
        text=(
            "0 done, 1 failed, 2 a command, config, file or device that can't be used, 4 not "
            "finite, 75 stopped with a checkpoint, 130 interrupted. Every case of these checks "
            "asks for its code."
        ),
        checks=("S1", "S2", "C2", "B1", "N1"),
    ),
)

WHAT_MAY_DIFFER = """## What is not promised, and what may differ

* **Bits across machines.** Sums of floating-point numbers depend on their order, and so on the
  number of threads, on the instructions a processor has, and on the versions of torch and its
  libraries. A resumed run warns when the number of processes or threads, the precision or
  torch's version has changed; it then goes on, and the bits may differ from there on.
* **Bits across numbers of processes.** What is drawn for each image is the same for any number
  of processes; sums over processes are in another order, so weights agree to rounding, and
  rounding grows from step to step.
* **Without `run.deterministic`** kernels may be used that add in whatever order threads finish,
  and cuDNN may choose another algorithm each time: two runs of one config, and a run and its
  resumption, then differ in the last bits. That is the default on a GPU, where no figure above
  was taken; on a CPU `run.deterministic` is on unless it is turned off. What is drawn, the order
  of images, the position in the data and the checkpoints are exact either way.
* **A plugin** that keeps state which is not in its module's or optimizer's `state_dict`, or
  draws from a generator that it made itself, is not resumed exactly. What it draws from torch's,
  NumPy's or Python's global generators is, by the same number of processes.
* **Wall times** (`seconds`, `images_per_second`, `train_seconds`) are measured, and differ. They
  are left out of all comparisons.
* **Power cuts** cannot be tried here. The order of writes, syncs and renames is (C4); it is what
  file systems ask for.
* **Before training begins** (while Python, torch and the config are read) a signal ends the
  process as it ends any other: nothing was done, nothing is left behind, and the exit code is
  not 75.
"""
