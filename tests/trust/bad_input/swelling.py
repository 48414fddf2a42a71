# ruff: noqa: E501  # a case is easiest to read on a line

"""Row 68: small files that would be gigabytes once they are read, at each door."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.swelling import PARQUETS, TWO_TB, deflated, picture, sparse, write_parquet
from tests.trust.bad_input.case import Case
from tests.trust.bad_input.datasets import BINARY, FILES, PICKLES, SIX, SIX_PICKLES, TEST, TRAIN
from tests.trust.bad_input.folders import ALL, CONFIG, after, newest, unfinished

SIZE = r"2,199,023,255,552"
VERIFY = ("data", "verify", "cifar10", "--data", "d")
IN_1_GB = 'ulimit -d 1000000; "$@"'  # of data; addresses are taken by the thousands and not used
PLUGIN = b"from cifarzoo import register\n"
WEIGHTS = CONFIG + "run.initial_weights = 'w.pt'\n"


def dataset(name: str, write: Callable[[Path], None], says: str, **more: Any) -> Case:
    """``data verify`` of two Parquet files, the first of which swells."""

    def prepare(folder: Path) -> None:
        write_parquet(folder / TEST, [picture("PNG")])
        write(folder / TRAIN)

    return Case(row=68, name=name, command=VERIFY, says=says, prepare=prepare, **more)


def of_2_tb(*names: str, content: bytes = b"") -> Callable[[Path], None]:
    """Lets files have 2 TB."""

    def prepare(folder: Path) -> None:
        for name in names:
            sparse(folder / name, content)

    return prepare


def file(name: str, says: str, *command: str, of: str, **more: Any) -> Case:
    """A command that is given a file of 2 TB."""
    return Case(
        row=68, name=name, command=command, says=says, prepare=of_2_tb(of, content=PLUGIN), **more
    )


def run(name: str, says: str, change: Callable[[Path], Any], *command: str) -> Case:
    """A run that isn't done, one of whose files swells."""
    return after(68, name, says, unfinished(change), *command, lines=None, leaves=ALL)


def saved_zeros(count: int) -> bytes:
    """What torch saves of so many zeros."""
    import torch

    buffer = io.BytesIO()
    torch.save({"model": {"w": torch.zeros(count)}}, buffer)
    return buffer.getvalue()


def compressed_weights(folder: Path) -> None:
    """A file of 40 MB of weights in 40 kB."""
    (folder / "w.pt").write_bytes(deflated(saved_zeros(10_000_000)))


def seal(checkpoint: Path, size: int, digest: str) -> None:
    """Let a manifest say that the state has a size and a digest, and make its own right."""
    path = checkpoint / "manifest.json"
    manifest = json.loads(path.read_text().rstrip("\n").rpartition("\n")[0])
    manifest["files"] = {"state.pt": {"size": size, "sha256": digest}}
    body = json.dumps(manifest, indent=1, sort_keys=True)
    path.write_text(f"{body}\n{hashlib.sha256(body.encode()).hexdigest()}\n")


def compressed_states(folder: Path) -> None:
    """Each checkpoint has a compressed state under a digest that is right."""
    for checkpoint in (folder / "checkpoints").iterdir():
        state = deflated((checkpoint / "state.pt").read_bytes())
        (checkpoint / "state.pt").write_bytes(state)
        seal(checkpoint, len(state), hashlib.sha256(state).hexdigest())


def manifests_of_2_tb(folder: Path) -> None:
    """Each checkpoint has one."""
    for checkpoint in (folder / "checkpoints").iterdir():
        sparse(checkpoint / "manifest.json", b"{")


def state_of_2_tb(folder: Path) -> None:
    """The newest checkpoint has 2 TB, and says so."""
    sparse(newest(folder) / "state.pt", b"PK\3\4")
    seal(newest(folder), TWO_TB, "0" * 64)


LIMITED = ("a JPEG of 16,000 pixels", "the same in a dictionary", "3 million rows")
DATASETS = [
    *(dataset(name, write, says) for name, (write, says) in PARQUETS.items()),
    *(dataset(f"{name}, in a process of 1 GB", *PARQUETS[name], shell=IN_1_GB) for name in LIMITED),
    file("an archive of 2 TB", rf"gz is {SIZE} bytes; expected 170,052,171", *VERIFY, of=BINARY),
    Case(row=68, name="binary files of 2 TB", command=VERIFY, prepare=of_2_tb(*SIX), says=rf"{FILES}/data_batch_1\.bin is {SIZE} bytes; expected 30,730,000"),
    Case(row=68, name="pickles of 2 TB", command=VERIFY, prepare=of_2_tb(*SIX_PICKLES), says=rf"{PICKLES}/data_batch_1 is {SIZE} bytes; expected at most 268,435,456"),
]  # fmt: skip
PROGRAMS = [
    file("a config of 2 TB", r"c\.gin: it has more than \d+ bytes", "check", "c.gin", of="c.gin"),
    file("a plugin of 2 TB", r"p\.py: it has more than 524,288 bytes", "ls", "-p", "p.py", of="p.py"),
    file("a file of 2 TB in a plugin folder", r"p has 2,097,152 MB, and each run keeps a plugin folder whole", "ls", "-p", "p", of="p/p.py"),
]  # fmt: skip
SAYS = rf"it has {SIZE} bytes; expected at most \d"
RUNS = [
    *(run(f"{name} of 2 TB, {command}", rf"r/{name} .*{SAYS}", of_2_tb(name), command, "r")
      for name in ("config.gin", "resolved.gin", "run.json", "metrics.jsonl") for command in ("eval", "resume")
      if (name, command) != ("metrics.jsonl", "eval")),
    run("manifests of 2 TB", rf"manifest\.json cannot be read: {SAYS}.*\n(.*\n)*.*all \d+ checkpoints .* are damaged", manifests_of_2_tb, "eval", "r"),
    run("a state of 2 TB", rf"state\.pt has {SIZE} bytes, and is in memory twice", state_of_2_tb, "resume", "r"),
    run("states that are compressed", r"state\.pt .*its members are compressed .*\n(.*\n)*.*all \d+ checkpoints .* are damaged", compressed_states, "resume", "r"),
    Case(row=68, name="weights of 2 TB", command=("run", "c.gin"), files={"c.gin": WEIGHTS}, prepare=of_2_tb("w.pt"),
         says=rf"initial_weights is 'w\.pt', which cannot be read: {SAYS}", needs_torch=True, leaves=("runs",)),
    Case(row=68, name="weights that are compressed", command=("run", "c.gin"), files={"c.gin": WEIGHTS}, prepare=compressed_weights,
         says=r"initial_weights is 'w\.pt', which is no file of weights: its members are compressed", needs_torch=True, leaves=("runs",)),
]  # fmt: skip
CASES = [*DATASETS, *PROGRAMS, *RUNS]
