"""C2: run folders that are damaged in ways that have a name."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cifarzoo.engine.checkpoint import FORMAT, Checkpoints
from cifarzoo.run_folders.folder import MANIFEST, METRICS, RECORD, STATE, RunFolder
from tests.swelling import deflated
from tests.trust.attempts import attempt
from tests.trust.cases import COMPARED, EQUAL, FAULTS, HUNG, WRONG, Budget, Check, Outcome
from tests.trust.kill_points import arm
from tests.trust.odd_files import ODD_FILES
from tests.trust.workload import EVERYTHING, finals, shortfalls, train

KEPT = {**EVERYTHING, "keep_checkpoints": 5}  # of the steps 6, 10, 12, 18, 20 and 24 at most
DIES_AFTER = 22


class MakesFolder:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@dataclass(frozen=True, kw_only=True)
class Damage:
    """Something done to a run's folder, and what is promised of resuming it.

    Attributes:
        do: Does it; is given the folder and the checkpoints, of the steps 12, 18 and 20 at least.
        warnings: How many warnings of damage there are, if the run goes on.
        refused: What the one line says, if it does not.
    """

    do: Callable[[RunFolder, Checkpoints], object]
    warnings: int = 0
    refused: str = ""


def newest(folder: Checkpoints, back: int = 0) -> Path:
    """The newest checkpoint, or one that is ``back`` older."""
    return folder.path(folder.steps()[-1 - back])


def rewrite_manifest(path: Path, **changes: object) -> None:
    """Change a manifest and make its own digest right again."""
    body, _, _ = (path / MANIFEST).read_text().rstrip("\n").rpartition("\n")
    body = json.dumps({**json.loads(body), **changes}, indent=1, sort_keys=True)
    digest = hashlib.sha256(body.encode()).hexdigest()
    (path / MANIFEST).write_text(f"{body}\n{digest}\n")


def replace_state(path: Path, data: bytes) -> None:
    """Put another state into a checkpoint, whose digests are then right."""
    (path / STATE).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    rewrite_manifest(path, files={STATE: {"size": len(data), "sha256": digest}})


def forge(checkpoints: Checkpoints, part: str, **changes: object) -> None:
    """Change entries of a part of the newest state, whose digests are then right."""
    state = torch.load(newest(checkpoints) / STATE, weights_only=True)
    replace_state(newest(checkpoints), saved({**state, part: {**state[part], **changes}}))


def evil(folder: RunFolder, checkpoints: Checkpoints) -> None:
    """A state that is a pickle with code."""
    replace_state(newest(checkpoints), pickle.dumps(MakesFolder(folder.path.parent / "ran")))


def evil_in_torch(folder: RunFolder, checkpoints: Checkpoints) -> None:
    """The same, as ``torch.save`` writes it."""
    path = newest(checkpoints) / STATE
    torch.save({"model": MakesFolder(folder.path.parent / "ran")}, path)
    replace_state(path.parent, path.read_bytes())


def empty(path: Path) -> None:
    """Leave an empty folder."""
    shutil.rmtree(path)
    path.mkdir()


def file_instead(path: Path) -> None:
    """Leave a file under the folder's name."""
    shutil.rmtree(path)
    path.write_text("x")


def flip_bit(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def all_of(checkpoints: Checkpoints) -> None:
    """Empty every state."""
    for step in checkpoints.steps():
        (checkpoints.path(step) / STATE).write_bytes(b"")


def strays(_folder: RunFolder, checkpoints: Checkpoints) -> None:
    """Files and folders that belong to nobody."""
    parent = newest(checkpoints).parent
    for name in (".tmp-22-1", "step-abc", "step-", ".del-3-1"):
        (parent / name).mkdir()
        (parent / name / STATE).write_bytes(b"half")
    (parent / "notes.txt").write_text("x")


def add_line(folder: RunFolder, text: bytes) -> None:
    """Put a line before the others of the metrics."""
    path = folder.path / METRICS
    path.write_bytes(text + path.read_bytes())


def moved(folder: RunFolder, _checkpoints: Checkpoints) -> None:
    """Let the folder be a link to where it now lies."""
    there = folder.path.parent / "elsewhere" / folder.path.name
    there.parent.mkdir(exist_ok=True)
    folder.path.rename(there)
    folder.path.symlink_to(there)


def renamed_step(_folder: RunFolder, checkpoints: Checkpoints) -> None:
    """Let a checkpoint claim to be of a later step than it is."""
    newest(checkpoints).rename(checkpoints.path(23))


def append(folder: RunFolder, text: str) -> None:
    """Add to the end of the metrics, as a process that dies may."""
    with (folder.path / METRICS).open("a") as file:
        file.write(text)


TABLE: dict[str, Damage] = {
    "an empty state": Damage(do=lambda _, c: (newest(c) / STATE).write_bytes(b""), warnings=1),
    "half a state": Damage(do=lambda _, c: os.truncate(newest(c) / STATE, 3000), warnings=1),
    "a flipped bit": Damage(do=lambda _, c: flip_bit(newest(c) / STATE), warnings=1),
    "no state": Damage(do=lambda _, c: (newest(c) / STATE).unlink(), warnings=1),
    "no manifest": Damage(do=lambda _, c: (newest(c) / MANIFEST).unlink(), warnings=1),
    "a manifest that is no JSON": Damage(
        do=lambda _, c: (newest(c) / MANIFEST).write_text("{"), warnings=1
    ),
    "an empty manifest": Damage(do=lambda _, c: (newest(c) / MANIFEST).write_text(""), warnings=1),
    "another step's manifest": Damage(do=renamed_step, warnings=1),
    "an empty folder": Damage(do=lambda _, c: empty(newest(c)), warnings=1),
    "a file for a folder": Damage(do=lambda _, c: file_instead(newest(c)), warnings=1),
    "the two newest": Damage(
        do=lambda _, c: [(newest(c, back) / STATE).unlink() for back in (0, 1)], warnings=2
    ),
    "all of them": Damage(do=lambda _, c: all_of(c), refused="are damaged; delete them"),
    "files that belong to nobody": Damage(do=strays),
    "a pickle with code, its digest right": Damage(do=evil, warnings=1),
    "the same in torch's format": Damage(do=evil_in_torch, warnings=1),
    "a compressed state, its digest right": Damage(
        do=lambda _, c: replace_state(newest(c), deflated((newest(c) / STATE).read_bytes())),
        warnings=1,
    ),
    "a format to come": Damage(
        do=lambda _, c: rewrite_manifest(newest(c), format=FORMAT + 1), refused="newer cifarzoo"
    ),
    "another config's checkpoint": Damage(
        do=lambda _, c: rewrite_manifest(newest(c), config="f" * 64), refused="of another config"
    ),
    "a manifest without its facts": Damage(
        do=lambda _, c: rewrite_manifest(newest(c), files={}), warnings=1
    ),
    "a state of other parts": Damage(
        do=lambda _, c: replace_state(newest(c), saved({"numbers": {"step": 20}})), warnings=1
    ),
    "a step of -1e12": Damage(do=lambda _, c: forge(c, "numbers", step=-(10**12)), warnings=1),
    "a text for a number": Damage(do=lambda _, c: forge(c, "numbers", step="20"), warnings=1),
    "an optimizer without its groups": Damage(
        do=lambda _, c: forge(c, "optimizer", param_groups=[]), warnings=1
    ),
    "a negative size of a state": Damage(
        do=lambda _, c: rewrite_manifest(
            newest(c), files={STATE: {"size": -1, "sha256": "0" * 64}}
        ),
        warnings=1,
    ),
    "half a line of metrics": Damage(do=lambda f, _: append(f, '{"epoch": 4, "te')),
    "lines that no checkpoint counts": Damage(do=lambda f, _: append(f, '{"epoch": 9}\n')),
    "garbage within the metrics": Damage(
        do=lambda f, _: add_line(f, b"\xff\xfe nonsense\n"), refused="is not JSON"
    ),
    "a number for a line of metrics": Damage(
        do=lambda f, _: add_line(f, b"1\n"), refused="holds no JSON object"
    ),
    "a record that is no JSON": Damage(
        do=lambda f, _: (f.path / RECORD).write_text("{"), refused="is not JSON"
    ),
    "no record": Damage(do=lambda f, _: (f.path / RECORD).unlink()),
    "moved elsewhere, and a link to it": Damage(do=moved),
    **{name: Damage(**about) for name, about in ODD_FILES.items()},
}


def table(budget: Budget) -> Iterator[Outcome]:
    """Do each damage to a copy of a run that died, and resume it."""
    root = budget.scratch
    whole = attempt(train, root, "whole", KEPT, log=root / "whole.log")
    assert whole.code == 0, whole.said
    expected = finals(RunFolder(root / "whole"))
    run = died(root)
    cases = list(TABLE.items())
    for name, damage in cases[:: budget.take(1, 7)]:
        yield _resume(root, name, damage, died=run, expected=expected)


def _resume(
    root: Path, name: str, damage: Damage, *, died: RunFolder, expected: dict[str, str]
) -> Outcome:
    folder = RunFolder(root / name.replace(" ", "-"))
    shutil.copytree(died.path, folder.path)
    damage.do(folder, Checkpoints(folder.checkpoints, keep=9, warn=print))
    before = _content(folder.path)
    ended = attempt(train, root, folder.path.name, KEPT, log=root / f"{folder.path.name}.log")
    lines = ended.said.strip().splitlines()
    counts = {FAULTS: 1, HUNG: int(ended.hung)}
    problems = ["ran code"] * (root / "ran").exists()
    if damage.refused:
        plain = [line for line in lines if not line.startswith("{'event'")]
        is_one_line = len(plain) == 1 and damage.refused in plain[0]
        problems += [f"exit code {ended.code}"] * (ended.code != 2)
        problems += [f"said {ended.said[-300:]!r}"] * (not is_one_line)
        problems += ["changed the folder"] * (_content(folder.path) != before)
        figure = f"refused: {lines[-1].replace(str(root) + '/', '')}" if lines else ""
        return Outcome(
            name=name, passed=not problems, figure="; ".join(problems) or figure, counts=counts
        )
    warned = sum("going back to the checkpoint before it" in line for line in lines)
    problems += [f"{warned} warnings"] * (warned != damage.warnings)
    short = shortfalls(ended, folder, expected, ignored=("kept",))
    problems += short
    return Outcome(
        name=name,
        passed=not problems,
        figure="; ".join(problems) or f"{warned} warnings, byte-equal",
        counts={**counts, COMPARED: 1, EQUAL: int(not short), WRONG: int(bool(short))},
    )


def died(root: Path) -> RunFolder:
    """A run that was killed after ``DIES_AFTER`` steps."""
    kill = partial(arm, "after a step", rank=0, at=DIES_AFTER)
    attempt(train, root, "died", KEPT, (kill,), log=root / "died.log")
    return RunFolder(root / "died")


def _content(path: Path) -> dict[str, bytes]:
    """Every file of a run's folder but for its record, which says how an attempt ended."""
    files = [file for file in path.rglob("*") if file.is_file()]
    kept = [file for file in files if file.name not in (RECORD, ".lock")]
    return {str(file): file.read_bytes() for file in kept if "tensorboard" not in file.parts}


def saved(state: object) -> bytes:
    """What ``torch.save`` makes of a state."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


CHECKS = (Check(id="C2", title="a run's folder damaged in ways that have a name", run=table),)
