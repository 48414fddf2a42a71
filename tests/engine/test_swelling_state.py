"""Checkpoints, weights and records that would take gigabytes are refused before they do."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cifarzoo.engine.checkpoint import FORMAT, Checkpoints
from cifarzoo.engine.initial_weights import read_initial_weights
from cifarzoo.engine.saved_tensors import MOST_PICKLED, read_saved
from cifarzoo.errors import CheckpointError, ConfigError, UsageError
from cifarzoo.run_folders.folder import RunFolder
from tests.peak_memory import told
from tests.swelling import TWO_TB, deflated, repacked, sparse

MOST_MEBIBYTES = 100  # more than torch alone; the sound part of each file takes 1
READ = """
import pathlib, re, sys
from cifarzoo.engine.checkpoint import Checkpoints
from cifarzoo.engine.initial_weights import read_initial_weights
from cifarzoo.errors import UsageError
print(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
for folder in map(pathlib.Path, sys.argv[1:]):
    for read in (
        lambda: Checkpoints(folder, keep=1, warn=print).read(1),
        lambda: read_initial_weights(str(folder / "step-00000001/state.pt")),
    ):
        try:
            read()
            print("nothing was wrong with it")
        except UsageError as error:
            print(error)
"""


class Call:
    """A pickle of it calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._called = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._called


def saved(state: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, **how)
    return buffer.getvalue()


def overlapping(state: bytes, times: int = 1000) -> bytes:
    """An archive that lists the largest of its members so many times, at one place."""
    buffer = io.BytesIO(state)
    with zipfile.ZipFile(buffer, "a") as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        for number in range(times):
            other = zipfile.ZipInfo(f"archive/data/{number + 1}")
            for name in ("file_size", "compress_size", "CRC", "header_offset", "create_system"):
                setattr(other, name, getattr(largest, name))
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
        archive._didModify = True
    return buffer.getvalue()


def tensors(count: int) -> dict[str, Any]:
    return {"model": {"w": torch.zeros(count)}}


STATES: dict[str, tuple[Callable[[], bytes], str]] = {
    "compressed": (
        lambda: deflated(saved(tensors(50_000_000))),
        r"its members are compressed \(archive/data\.pkl: 162 bytes for 184\); expected them as t",
    ),
    "a member a thousand times": (
        lambda: overlapping(saved(tensors(100_000))),
        r"its members have 40\d,\d+,\d+ bytes, and the file \d+,\d+",
    ),
    "compressed behind something": (
        lambda: b"PK\3\4" + deflated(saved(tensors(9))),
        r"its list of members is not at its end",
    ),
    "compressed before a comment": (
        lambda: repacked(saved(tensors(9)), zipfile.ZIP_DEFLATED, comment=b"x"),
        r"its list of members is not at its end",
    ),
    "a call for a gigabyte": (
        lambda: saved({"a": Call(bytearray, 1 << 30)}),
        r"it holds bytearray; expected tensors, numbers and texts alone",
    ),
    "a call that doubles": (
        lambda: saved({"a": b"x"}),
        r"it holds bytes; expected tensors, numbers and texts alone",
    ),
    "one number that shows as a terabyte": (
        lambda: saved({"model": {"w": torch.zeros(1).expand(500_000, 500_000)}}),
        r"its tensors have 1,000,000,000,000 bytes, and the file \d,\d+; expected at most",
    ),
    "9 MB of names": (
        lambda: saved({"a": "x" * (9 << 20)}),
        r"data\.pkl has 9,\d+,\d+ bytes; expected at most 8,388,608",
    ),
    "9 MB of names in the older format": (
        lambda: saved({"a": "x" * (9 << 20)}, _use_new_zipfile_serialization=False),
        r"its pickles have more than 8,388,608 bytes; expected at most so many",
    ),
}


def checkpoint(folder: Path, state: bytes) -> Path:
    """A checkpoint of step 1 whose digests are right."""
    place = folder / "step-00000001"
    place.mkdir(parents=True)
    (place / "state.pt").write_bytes(state)
    seal(place, len(state), hashlib.sha256(state).hexdigest())
    return folder


def seal(place: Path, size: int, digest: str) -> None:
    files = {"state.pt": {"size": size, "sha256": digest}}
    body = json.dumps({"format": FORMAT, "step": 1, "config": "c", "files": files})
    own = hashlib.sha256(body.encode()).hexdigest()
    (place / "manifest.json").write_text(f"{body}\n{own}\n")


def test_states_that_swell_are_refused_in_little_memory(tmp_path):
    folders = [tmp_path / str(number) for number, _ in enumerate(STATES)]
    for folder, (make, _) in zip(folders, STATES.values(), strict=True):
        checkpoint(folder, make())

    (base, *lines), most = told(READ, *folders)

    for number, (_, says) in enumerate(STATES.values()):
        for line in lines[2 * number : 2 * number + 2]:
            assert re.search(says, line)
    assert len(lines) == 2 * len(STATES)
    assert most - int(base) / 1024 < MOST_MEBIBYTES


def test_a_state_of_two_terabytes_is_refused_before_it_is_read(tmp_path):
    folder = checkpoint(tmp_path / "c", b"")
    sparse(folder / "step-00000001/state.pt", b"PK\3\4")
    checkpoints = Checkpoints(folder, keep=1, warn=print)

    with pytest.raises(CheckpointError, match=r"state\.pt has 2199023255552 bytes of 0"):
        checkpoints.read(1)

    seal(folder / "step-00000001", TWO_TB, "0" * 64)
    says = r"has 2,199,023,255,552 bytes, and is in memory twice while it is read; expected at most"
    with pytest.raises(CheckpointError, match=says):
        checkpoints.read(1)
    with pytest.raises(ConfigError, match=r"cannot be read: it has 2,199,023,255,552 bytes; expec"):
        read_initial_weights(str(folder / "step-00000001/state.pt"))


def test_a_manifest_of_two_terabytes_is_damaged(tmp_path):
    folder = checkpoint(tmp_path / "c", b"")
    sparse(folder / "step-00000001/manifest.json", b"{")

    with pytest.raises(
        CheckpointError, match=r"manifest\.json cannot be read: it has 2,199,023,255"
    ):
        Checkpoints(folder, keep=1, warn=print).read(1)


@pytest.mark.parametrize(
    ("name", "read", "most"),
    [
        ("config.gin", lambda folder: folder.config_text, "1,048,576"),
        ("resolved.gin", lambda folder: folder.resolved_text, "1,048,576"),
        ("run.json", lambda folder: folder.record, "16,777,216"),
        ("metrics.jsonl", lambda folder: folder.metrics(), "67,108,864"),
    ],
)
def test_a_file_of_a_run_that_has_two_terabytes_is_refused(tmp_path, name, read, most):
    sparse(tmp_path / name, b"{}\n")

    with pytest.raises(UsageError, match=rf"{name} can.*: it has 2,199,023,255,552 .* most {most}"):
        read(RunFolder(tmp_path))


@pytest.mark.parametrize("older", [False, True])
def test_what_torch_saves_is_read(older):
    state = {
        "model": {"w": torch.arange(6.0).view(2, 3), "none": torch.zeros(0, 3)},
        "lists": [1, 2.5, "x", None, True, (3, {4})],
        "one for all": torch.ones(1).expand(1000, 1000),
        "transposed": torch.arange(6).view(2, 3).T,
    }

    read = read_saved(saved(state, _use_new_zipfile_serialization=not older))

    assert read["lists"] == state["lists"]
    torch.testing.assert_close(read["model"], state["model"], rtol=0, atol=0)
    assert torch.equal(read["transposed"], state["transposed"])


def test_what_is_stored_by_another_program_is_read():
    state = repacked(saved(tensors(9)), zipfile.ZIP_STORED)

    assert torch.equal(read_saved(state)["model"]["w"], torch.zeros(9))


def test_many_names_fit_below_the_limit():
    """Weights, their averages and two moments of 5,000 parameters, five times PyramidNet-272's."""
    parts = ("model", "averaged", "exp_avg", "exp_avg_sq")
    state = {
        part: {f"blocks.{n}.residual.conv1.weight": torch.zeros(1) for n in range(5000)}
        for part in parts
    }

    with zipfile.ZipFile(io.BytesIO(saved(state))) as archive:
        assert archive.getinfo("archive/data.pkl").file_size < MOST_PICKLED / 2
