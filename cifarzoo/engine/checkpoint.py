"""Checkpoints: a folder a step, whole or absent, with a digest of every byte.

``state.pt`` holds tensors, numbers and texts only, so that ``torch.load(weights_only=True)``
reads it; ``manifest.json`` says what it is and carries SHA-256 digests, its own included:
without them most flipped bits load silently wrong.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cifarzoo.engine.fitting import MisfitError
from cifarzoo.engine.saved_tensors import UnusableError, most_bytes, read_saved
from cifarzoo.engine.state_schema import check_state
from cifarzoo.errors import CheckpointError
from cifarzoo.files.real_folder import FILE, FOLDER, RealFolder
from cifarzoo.run_folders.folder import MANIFEST, STATE, STEP, UNFINISHED, saved_steps
from cifarzoo.run_folders.schemas import Manifest, ManifestFormat, entries
from cifarzoo.run_folders.strict_json import strict_json

FORMAT = 2  # 1 had other names where regularizers follow a residual path; they are loaded too
MOST_MANIFEST = 1 << 20  # bytes; ours have 1 kB
BACK = "going back to the checkpoint before it"

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
        self._files = RealFolder(folder.parent).below(folder.name)
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
        self,
        step: int,
        state: State,
        *,
        facts: Mapping[str, Any],
        best: int | None = None,
        make_room: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Write a checkpoint; whatever goes wrong, the run and the older ones live on.

        Args:
            step: Optimizer steps done.
            state: Tensors, numbers and texts, in dicts and lists.
            facts: What else the manifest says: config digest, world size, versions.
            best: Step of the best checkpoint on validation, which is always kept.
            make_room: Called where the disk is full and no older checkpoint can be spared; gives
                whether it took anything away.

        Returns:
            Whether it was written.
        """
        buffer = io.BytesIO()  # so that the digest is of what was meant, and errors are plain
        torch.save(state, buffer)
        try:
            self._sweep()
            try:
                self._write(step, buffer.getbuffer(), facts)
            except OSError as error:
                is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                if not is_full or not (self._drop_oldest(step, best) or make_room()):
                    raise
                self._write(step, buffer.getbuffer(), facts)
        except OSError as error:
            newest = "there is none"
            with suppress(OSError):  # the folder itself may be gone, or be something else
                self._sweep()
                if self.steps():
                    newest = f"the newest one is of step {self.steps()[-1]}"
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
        for old in self.outlived(step, best):
            self._remove(old)

    def outlived(self, step: int, best: int | None = None) -> list[int]:
        """The steps of the checkpoints that are kept no longer once that of ``step`` is whole.

        Args:
            step: Step of the newest whole checkpoint.
            best: See ``save``.
        """
        # Later ones were passed over as damaged: they must not crowd out those that are whole.
        older = [other for other in self.steps() if other <= step][: -self._keep]
        return [old for old in older if old != best and self._is_ours(self.path(old).name)]

    def load(
        self, config_digest: str, use: Callable[[Loaded], object] = lambda _loaded: None
    ) -> Loaded | None:
        """The newest whole checkpoint, or None where there is none at all.

        A damaged one is warned of and the one before it is taken. Nothing in the folder changes:
        a run may be saving there while another process tests it.

        Args:
            config_digest: SHA-256 (hex) of the run's config.
            use: Puts one to use; where that raises MisfitError, the one before it is taken if it
                fits, and otherwise the error is raised.

        Raises:
            CheckpointError: All are damaged or none fits, one is of another config, or one was
                written by a newer cifarzoo.
        """
        steps = self.steps()
        misfits: list[tuple[int, MisfitError]] = []
        for step in reversed(steps):
            try:
                loaded = self.read(step)
                self._check_config(loaded, config_digest)
                use(loaded)
            except _DamagedError as damage:
                self._warn(f"{damage}; {BACK}")
            except MisfitError as error:
                misfits.append((step, error))
            else:
                for later, misfit in misfits:
                    self._warn(f"{self.path(later)} does not fit this run: {misfit.reason}; {BACK}")
                return loaded
        if misfits:  # none fits: it is the run that is another one
            raise misfits[0][1]
        if steps:
            raise CheckpointError(
                f"all {len(steps)} checkpoints in {self._folder} are damaged; delete them to "
                "start this run over"
            )
        return None

    def _check_config(self, loaded: Loaded, digest: str) -> None:
        if loaded.manifest["config"] != digest:
            raise CheckpointError(
                f"{self.path(loaded.step)} is of another config than config.gin beside it; "
                "start a new run"
            )

    def read(self, step: int) -> Loaded:
        """The checkpoint of ``step``.

        Raises:
            CheckpointError: It is damaged, or was written by a newer cifarzoo.
        """
        folder, files = self.path(step), self._files.below(self.path(step).name)
        manifest = _read_manifest(files)
        if manifest["format"] > FORMAT:
            raise CheckpointError(
                f"{folder} was written by a newer cifarzoo (format {manifest['format']}; this one "
                f"reads {FORMAT}); update cifarzoo"
            )
        if manifest["step"] != step:
            raise _DamagedError(f"{folder} says that it is of step {manifest['step']}")
        wanted = manifest["files"][STATE]
        data = _read_state(files, wanted["size"])
        if hashlib.sha256(data).hexdigest() != wanted["sha256"]:
            raise _DamagedError(f"{folder / STATE} differs from its sha256 in the manifest")
        try:
            state = read_saved(data)
            check_state(state)
            if state["numbers"]["step"] != step:
                raise ValueError(f"says that it is of step {state['numbers']['step']}")
        except UnusableError as problem:
            raise _DamagedError(f"{folder / STATE} cannot be read: {problem}") from problem
        except ValueError as problem:  # whole by its digest: made by somebody else
            raise _DamagedError(f"{folder / STATE} {problem}") from problem
        return Loaded(step=step, state=state, manifest=manifest)

    def _write(self, step: int, data: memoryview, facts: Mapping[str, Any]) -> None:
        with self._files.held(make=True):
            pass
        RealFolder(self._folder.parent).sync()  # what lies beside it, such as the metrics it counts
        temporary, name = f".tmp-{step}-{os.getpid()}", self.path(step).name
        self._files.make_folder(temporary)
        files = self._files.below(temporary)
        files.write(STATE, data)
        digest = hashlib.sha256(data).hexdigest()
        listed = {STATE: {"size": len(data), "sha256": digest}}
        manifest = {"format": FORMAT, "step": step, "files": listed, **facts}
        files.write(MANIFEST, _manifest_text(manifest).encode())
        files.sync()
        if self._files.kind(name):  # resumed from before it, or saved for another reason
            self._make_room(step)
        self._files.rename(temporary, name)
        self._files.sync()

    def _make_room(self, step: int) -> None:
        """Have nothing under the name of a checkpoint: what isn't one gets another name."""
        name = self.path(step).name
        if self._is_ours(name):
            self._remove(step)
        else:
            aside = self._files.set_aside(name)
            self._warn(f"{self.path(step)} was no checkpoint, and is {aside} now")

    def _is_ours(self, name: str) -> bool:
        """Whether a folder holds the files of a checkpoint, or some of them, and nothing else."""
        if self._files.kind(name) != FOLDER:
            return False
        inside = self._files.below(name)
        return all(n in (STATE, MANIFEST) and inside.kind(n) == FILE for n in inside.names())

    def _remove(self, step: int) -> None:
        # Renamed first, so that a kill half-way leaves no half checkpoint under a good name.
        doomed = f".del-{step}-{os.getpid()}"
        self._files.rename(self.path(step).name, doomed)
        self._delete(doomed)

    def _delete(self, name: str) -> None:
        """Delete a folder of ours; anything else stays."""
        with suppress(OSError):  # it is in nobody's way
            if self._is_ours(name):
                for inside in self._files.below(name).names():
                    self._files.take_away(f"{name}/{inside}")
                self._files.take_away(name)

    def _drop_oldest(self, step: int, best: int | None) -> bool:
        self._sweep()
        damaged = [other for other in self.steps() if other >= step]  # or ``step`` were later
        older = [other for other in self.steps() if other < step]
        spare = damaged or [other for other in older[:-1] if other != best]
        for other in spare:
            if self._is_ours(self.path(other).name):
                self._remove(other)
                return True
        return False

    def _sweep(self) -> None:
        for name in filter(UNFINISHED.fullmatch, self._files.names()):
            self._delete(name)


class _DamagedError(CheckpointError):
    """This checkpoint is damaged; an older one may serve."""


def _manifest_text(manifest: dict[str, Any]) -> str:
    body = strict_json(manifest, indent=1, sort_keys=True)
    return f"{body}\n{hashlib.sha256(body.encode()).hexdigest()}\n"


def _read_manifest(files: RealFolder) -> dict[str, Any]:
    path, text = (
        files.path / MANIFEST,
        _read(files, MANIFEST, MOST_MANIFEST).decode(errors="replace"),
    )
    body, _, digest = text[:-1].rpartition("\n")
    if f"{hashlib.sha256(body.encode()).hexdigest()}\n" != f"{digest}{text[-1:]}":
        raise _DamagedError(f"{path} differs from its own sha256")
    try:
        known = entries(ManifestFormat, body)
        # A newer cifarzoo's may say anything else.
        return known if known["format"] > FORMAT else entries(Manifest, body)
    except ValueError as problem:  # whole by its digest: made by somebody else
        raise _DamagedError(f"{path} {problem}") from problem


def _read_state(files: RealFolder, size: object) -> bytes:
    """The bytes of a state, of which there have to be ``size``."""
    path = files.path / STATE
    try:
        found = files.size(STATE)
    except OSError as error:
        raise _DamagedError(f"{path} cannot be read: {error.strerror}") from error
    if found != size:
        raise _DamagedError(f"{path} has {found} bytes of {size}")
    most = most_bytes()
    if found > most:
        raise CheckpointError(
            f"{path} has {found:,} bytes, and is in memory twice while it is read; expected at "
            f"most {most:,} on this machine"
        )
    return _read(files, STATE, found)


def _read(files: RealFolder, name: str, most: int) -> bytes:
    try:
        return files.read(name, at_most=most)
    except OSError as error:
        raise _DamagedError(f"{files.path / name} cannot be read: {error.strerror}") from error
