"""Checkpoints: a folder a step, whole or absent, with a digest of every byte.

``state.pt`` holds tensors, numbers and texts only, so that ``torch.load(weights_only=True)``
reads it; ``manifest.json`` says what it is and carries SHA-256 digests, its own included:
without them most flipped bits load silently wrong.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cifarzoo.errors import CheckpointError
from cifarzoo.runs.folder import STEP, saved_steps
from cifarzoo.runs.strict_json import strict_json

FORMAT = 2  # 1 had other names where regularizers follow a residual path; they are loaded too
STATE = "state.pt"
MANIFEST = "manifest.json"
FILE = {"size", "sha256"}  # what a manifest says of a file

State = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A checkpoint that was read and found whole.

    Attributes:
        step: Optimizer steps done.
        state: Tensors, numbers and texts, as they were saved.
        manifest: Entries of the manifest.
    """

    step: int
    state: State
    manifest: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Folder of the checkpoints; made if it is absent.
        keep: How many of the newest are kept, besides the best on validation.
        warn: Receives what went wrong without ending the run.

    Attributes:
        saved_step: Step of the newest checkpoint that this process wrote or went on from; None:
            neither yet.
    """

    def __init__(self, folder: Path, *, keep: int, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._keep = keep
        self._warn = warn
        self.saved_step: int | None = None

    def steps(self) -> list[int]:
        """The steps of all checkpoints, the newest last."""
        return saved_steps(self._folder)

    def path(self, step: int) -> Path:
        """The folder of the checkpoint of ``step``."""
        return self._folder / f"{STEP}{step:08d}"

    def save(
        self, step: int, state: State, *, facts: Mapping[str, Any], best: int | None = None
    ) -> bool:
        """Write a checkpoint; whatever goes wrong, the run and the older ones live on.

        Args:
            step: Optimizer steps done.
            state: Tensors, numbers and texts, in dicts and lists.
            facts: What else the manifest says: config digest, world size, versions.
            best: Step of the best checkpoint on validation, which is always kept.

        Returns:
            Whether it was written.
        """
        self._sweep()
        buffer = io.BytesIO()  # so that the digest is of what was meant, and errors are plain
        torch.save(state, buffer)
        try:
            try:
                self._write(step, buffer.getbuffer(), facts)
            except OSError as error:
                is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                if not is_full or not self._drop_oldest(step, best):
                    raise
                self._write(step, buffer.getbuffer(), facts)
        except OSError as error:
            self._sweep()
            newest = (
                f"the newest one is of step {self.steps()[-1]}" if self.steps() else "there is none"
            )
            self._warn(
                f"the checkpoint of step {step} was not written: {error.strerror or error}; "
                f"training goes on, {newest}"
            )
            return False
        self.saved_step = step
        # Only now that the new one is whole: a full disk or a kill never costs the older ones.
        self.tidy(step, best)
        return True

    def tidy(self, step: int, best: int | None = None) -> None:
        """Delete what a killed save left, and the checkpoints that are kept no longer.

        Only the process that holds the run's lock may do so.

        Args:
            step: Step of the newest whole checkpoint.
            best: See ``save``.
        """
        self._sweep()
        # Later ones were passed over as damaged: they must not crowd out those that are whole.
        for old in [other for other in self.steps() if other <= step][: -self._keep]:
            if old != best:
                self._remove(old)

    def load(self, config_digest: str) -> Loaded | None:
        """The newest whole checkpoint, or None where there is none at all.

        A damaged one is warned of and the one before it is taken. Nothing in the folder changes:
        a run may be saving there while another process tests it.

        Raises:
            CheckpointError: All are damaged, one is of another config, or one was written
                by a newer cifarzoo.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                loaded = self.read(step)
            except _DamagedError as damage:
                self._warn(f"{damage}; going back to the checkpoint before it")
                continue
            if loaded.manifest["config"] != config_digest:
                raise CheckpointError(
                    f"{self.path(step)} is of another config than config.gin beside it; "
                    "start a new run"
                )
            return loaded
        if steps:
            raise CheckpointError(
                f"all {len(steps)} checkpoints in {self._folder} are damaged; delete them to "
                "start this run over"
            )
        return None

    def read(self, step: int) -> Loaded:
        """The checkpoint of ``step``.

        Raises:
            CheckpointError: It is damaged, or was written by a newer cifarzoo.
        """
        folder = self.path(step)
        manifest = _read_manifest(folder / MANIFEST)
        if manifest["format"] > FORMAT:
            raise CheckpointError(
                f"{folder} was written by a newer cifarzoo (format {manifest['format']}; this one "
                f"reads {FORMAT}); update cifarzoo"
            )
        if manifest["step"] != step:
            raise _DamagedError(f"{folder} says that it is of step {manifest['step']}")
        data = _read(folder / STATE)
        wanted = manifest["files"][STATE]
        if len(data) != wanted["size"]:
            raise _DamagedError(f"{folder / STATE} has {len(data)} bytes of {wanted['size']}")
        if hashlib.sha256(data).hexdigest() != wanted["sha256"]:
            raise _DamagedError(f"{folder / STATE} differs from its sha256 in the manifest")
        try:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:
            # Whole by its digest and yet unreadable: made by somebody else.
            reason = str(error).partition("\n")[0]
            raise _DamagedError(f"{folder / STATE} cannot be read: {reason}") from error
        return Loaded(step=step, state=state, manifest=manifest)

    def _write(self, step: int, data: memoryview, facts: Mapping[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(self._folder.parent)  # what lies beside it, such as the metrics it counts
        temporary = self._folder / f".tmp-{step}-{os.getpid()}"
        temporary.mkdir()
        _write_synced(temporary / STATE, data)
        digest = hashlib.sha256(data).hexdigest()
        files = {STATE: {"size": len(data), "sha256": digest}}
        manifest = {"format": FORMAT, "step": step, "files": files, **facts}
        _write_synced(temporary / MANIFEST, _manifest_text(manifest).encode())
        _sync_folder(temporary)
        if self.path(step).exists():  # resumed from before it, or saved for another reason
            self._remove(step)
        temporary.rename(self.path(step))
        _sync_folder(self._folder)

    def _remove(self, step: int) -> None:
        # Renamed first, so that a kill half-way leaves no half checkpoint under a good name.
        doomed = self._folder / f".del-{step}-{os.getpid()}"
        self.path(step).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def _drop_oldest(self, step: int, best: int | None) -> bool:
        self._sweep()
        damaged = [other for other in self.steps() if other >= step]  # or ``step`` were later
        older = [other for other in self.steps() if other < step]
        spare = damaged or [other for other in older[:-1] if other != best]
        if spare:
            self._remove(spare[0])
        return bool(spare)

    def _sweep(self) -> None:
        for pattern in (".tmp-*", ".del-*"):
            for path in self._folder.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)


class _DamagedError(CheckpointError):
    """This checkpoint is damaged; an older one may serve."""


def _manifest_text(manifest: dict[str, Any]) -> str:
    body = strict_json(manifest, indent=1, sort_keys=True)
    return f"{body}\n{hashlib.sha256(body.encode()).hexdigest()}\n"


def _read_manifest(path: Path) -> dict[str, Any]:
    text = _read(path).decode(errors="replace")
    body, _, digest = text[:-1].rpartition("\n")
    if f"{hashlib.sha256(body.encode()).hexdigest()}\n" != f"{digest}{text[-1:]}":
        raise _DamagedError(f"{path} differs from its own sha256")
    manifest: dict[str, Any] = json.loads(body)
    try:
        is_ours = isinstance(manifest["config"], str) and manifest["files"][STATE].keys() == FILE
        is_ours = is_ours and all(isinstance(manifest[name], int) for name in ("format", "step"))
    except (KeyError, TypeError, AttributeError):
        is_ours = False
    if not is_ours:  # whole by its digest: made by somebody else
        raise _DamagedError(f"{path} is no manifest of cifarzoo's")
    return manifest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _DamagedError(f"{path} cannot be read: {error.strerror}") from error


def _write_synced(path: Path, data: bytes | memoryview) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
