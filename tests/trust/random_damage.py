"""C1: checkpoints that are damaged at random."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Iterator
from pathlib import Path

import torch

from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.errors import CheckpointError
from cifarzoo.run_folders.folder import MANIFEST, STATE
from tests.trust.attempts import attempt
from tests.trust.cases import FAULTS, WRONG, Budget, Check, Outcome
from tests.trust.damage import died

PAGE = 4096


def flip(data: bytearray, rng: random.Random) -> None:
    """Flip one bit."""
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def truncate(data: bytearray, rng: random.Random) -> None:
    """Cut the end off."""
    del data[rng.randrange(len(data)) :]


def zero_page(data: bytearray, rng: random.Random) -> None:
    """Set a page to zero, as a file system may after a crash; a small file has a small page."""
    size = min(PAGE, max(16, len(data) // 8))
    start = rng.randrange(len(data)) // size * size
    data[start : start + size] = bytes(len(data[start : start + size]))


DAMAGES = {"flipped bit": flip, "truncation": truncate, "zeroed page": zero_page}


def fuzz(folder: Path, number: int, seed: int, answer: Path) -> None:
    """Load after each of ``number`` damages of each sort to each file of the newest checkpoint."""
    torch.set_num_threads(1)
    checkpoints = Checkpoints(folder, keep=9, warn=lambda _: None)
    steps = checkpoints.steps()
    older = checkpoints.read(steps[-2])
    digest, content = older.manifest["config"], pickle.dumps(older.state["numbers"])
    counts: dict[str, dict[str, int]] = {}
    for name in (STATE, MANIFEST):
        file = checkpoints.path(steps[-1]) / name
        whole = file.read_bytes()
        for sort, damage in DAMAGES.items():
            rng = random.Random(f"{seed} {name} {sort}")
            tally = counts[f"{sort} in {name}"] = {"fell back": 0, "refused": 0, "wrong": 0}
            while sum(tally.values()) < number:
                damaged = bytearray(whole)
                damage(damaged, rng)
                if damaged == whole:  # a page that was zero before
                    continue
                file.write_bytes(damaged)
                try:
                    loaded = checkpoints.load(digest)
                except CheckpointError:
                    tally["refused"] += 1
                    continue
                is_older = loaded is not None and loaded.step == older.step
                same = is_older and pickle.dumps(loaded.state["numbers"]) == content
                tally["fell back" if same else "wrong"] += 1
        file.write_bytes(whole)
    assert checkpoints.load(digest).step == steps[-1]
    answer.write_text(json.dumps(counts))


def random_damage(budget: Budget) -> Iterator[Outcome]:
    """Damage each file of the newest of two checkpoints."""
    root, number = budget.scratch, budget.take(300, 20)
    run = died(root)
    ended = attempt(
        fuzz, run.checkpoints, number, budget.seed, root / "answer.json", log=root / "fuzz.log"
    )
    assert ended.code == 0, ended.said
    for name, tally in json.loads((root / "answer.json").read_text()).items():
        yield Outcome(
            name=f"{number} x {name}",
            passed=not tally["wrong"],
            figure=", ".join(f"{what} {count}" for what, count in tally.items()),
            counts={FAULTS: number, WRONG: tally["wrong"]},
        )


CHECKS = (Check(id="C1", title="checkpoint files damaged at random", run=random_damage),)
