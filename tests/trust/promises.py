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
what comes of them. Anyone can run it: it takes two cores, no GPU and less than half an hour. This
file is made by it from `trust.json` beside it, and never edited by hand.
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
            "(Ctrl-C), SIGUSR1 and SIGUSR2 cost none once training has begun: the step is "
            "ended, a checkpoint written, and the exit code is 75. Processes that lose "
            "their launcher save and end; none is left behind."
        ),
        checks=("R1", "R2", "S1", "S2"),
    ),
    Promise(
        title="Damage is never loaded",
        text=(
            "A checkpoint, config or dataset file that is damaged, or that does not fit, is "
            "refused in one line that says what was found, where, and what to do. A damaged "
            "checkpoint is passed over for the one before it, with a warning; if all are "
            "damaged, the run isn't silently started over."
        ),
        checks=("C1", "C2", "B1"),
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
)

WHAT_MAY_DIFFER = ""
