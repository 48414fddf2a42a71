"""A run's folder: the files that are the truth about it, and the lock on them.

``config.gin`` (what was set), ``resolved.gin`` (every value, defaults included), ``run.json``
(status, provenance, result), ``metrics.jsonl`` (a line an epoch), ``checkpoints/``, ``plugins/``
(copies of plugin files), ``predictions.npz`` (the last test, image by image: see
``predictions.py``), TensorBoard's events.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from cifarzoo.components.plugin_files import Plugin
from cifarzoo.errors import CifarzooError, UsageError
from cifarzoo.files.real_folder import FILE, FOLDER, OddFileError, RealFolder, is_leftover
from cifarzoo.run_folders import kept_plugins
from cifarzoo.run_folders.disclosure import ANONYMOUS, disclosed, disclosed_origins
from cifarzoo.run_folders.resolved import NAMED
from cifarzoo.run_folders.schemas import MetricsLine, Record, entries
from cifarzoo.run_folders.strict_json import strict_json

SCHEMA = 1
CONFIG = "config.gin"
RESOLVED = "resolved.gin"
RECORD = "run.json"
METRICS = "metrics.jsonl"
PREDICTIONS = "predictions.npz"
CHECKPOINTS = "checkpoints"
STEP = "step-"  # begins the name of a checkpoint's folder
OF_A_STEP = re.compile(rf"{STEP}([0-9]{{8}}|[1-9][0-9]{{8,17}})")
STATE, MANIFEST = "state.pt", "manifest.json"  # of a checkpoint
UNFINISHED = re.compile(r"\.(tmp|del)-[0-9]+-[0-9]+")  # folders that a killed save leaves
PLUGINS = "plugins"
TENSORBOARD = "tensorboard"
LOCK = ".lock"
LOCK_SECONDS = 0.2  # who asks whether a folder is locked holds the lock for an instant
KINDS = {
    **dict.fromkeys((CONFIG, RESOLVED, RECORD, METRICS, PREDICTIONS, LOCK), FILE),
    **dict.fromkeys((CHECKPOINTS, PLUGINS, TENSORBOARD), FOLDER),
}
PUT_BACK = "put back what the run wrote"
MOST_TEXT = 1 << 20  # bytes of a config; all settings of the largest recipe are 6 kB
MOST_RECORD = 16 << 20  # bytes of run.json; each attempt adds 2 kB
MOST_METRICS = 64 << 20  # bytes of metrics.jsonl; each epoch adds 0.3 kB


def saved_steps(checkpoints: Path) -> list[int]:
    """The steps of all checkpoints in a folder, the newest last."""
    names = RealFolder(checkpoints.parent).below(checkpoints.name).names()
    return sorted(int(found[1]) for name in names if (found := OF_A_STEP.fullmatch(name)))


class RunFolder:
    """The folder of one run.

    Args:
        path: Path of the folder; see ``create``, ``adopt`` and ``finding.find_run``.
        created: Names of what was created in it for this run.
        made: Folders that were made for it, the innermost first.
    """

    def __init__(self, path: Path, created: Sequence[str] = (), made: Sequence[Path] = ()) -> None:
        self.path = path
        self._files = RealFolder(path)
        self._created = list(created)
        self._made = tuple(made)

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.path / CHECKPOINTS

    @property
    def config_text(self) -> str:
        """The config that the run was started with: all that was set."""
        return self._read(CONFIG)

    @property
    def config_digest(self) -> str:
        """The SHA-256 (hex) of the config: what checkpoints say that they are of."""
        return hashlib.sha256(self.config_text.encode()).hexdigest()

    @property
    def resolved_text(self) -> str | None:
        """Every value that the run was started with; None: an older cifarzoo kept none."""
        return self._read(RESOLVED) if self._files.kind(RESOLVED) else None

    @property
    def config_name(self) -> str:
        """The name of its config, known before the run has begun too; ``run``: it isn't known."""
        if name := self.record.get("config"):
            return str(name)
        found = NAMED.search(self.resolved_text or "")
        return found[1] if found else "run"

    def keep_resolved(self, text: str) -> None:
        """Write every value of the run beside its config.

        Raises:
            UsageError: The folder cannot be written to.
        """
        with beginning(self.path), self._creating(RESOLVED):
            self._files.replace(RESOLVED, disclosed_origins(text).encode())

    @property
    def has_begun(self) -> bool:
        """Whether anything was done in it, after its config was written."""
        return bool(self._files.kind(RECORD) or self._files.kind(CHECKPOINTS))

    def check(self) -> None:
        """Refuse a folder in which this run can't be trained without harm to what is there.

        Raises:
            UsageError: A link, pipe or the like has the name of something that the run writes; or
                there are metrics or predictions, and no run that they are of.
        """
        for name, kind in KINDS.items():
            self._files.check(name, kind)
        for name in (METRICS, PREDICTIONS):
            if not self.has_begun and self._files.size(name):
                raise UsageError(
                    f"{self.path / name} is there, and no {RECORD} of the run that it is of; put "
                    f"that back, or take {name} away"
                )

    def _read(self, name: str) -> str:
        try:
            return self._files.read(name, at_most=MOST_TEXT).decode()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"{self.path / name} cannot be read: {reason}; {PUT_BACK}") from error

    @contextmanager
    def _creating(self, name: str) -> Iterator[None]:
        """Note that something was created within ``with``, unless it was there before."""
        was_there = self._files.kind(name)
        yield
        if not was_there:
            self._created.append(name)

    @property
    def record(self) -> dict[str, Any]:
        """What ``run.json`` says; empty before it was first written."""
        path = self.path / RECORD
        try:
            return entries(Record, self._files.read(RECORD, at_most=MOST_RECORD))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise UsageError(f"{path} {error}; {PUT_BACK}") from error
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error

    @property
    def newer_words(self) -> str:
        """That a newer cifarzoo wrote ``run.json``, which may not fit ours; empty: none did."""
        try:
            schema = from_json(self._files.read(RECORD, at_most=MOST_RECORD))["schema"]
        except (OSError, ValueError, LookupError, TypeError):
            return ""
        is_so = isinstance(schema, int) and schema > SCHEMA
        return f"{RECORD} is of a newer cifarzoo (schema {schema}; this reads {SCHEMA})" * is_so

    def update(self, **changes: Any) -> None:
        """Change entries of ``run.json``, which is replaced whole.

        Raises:
            CifarzooError: It cannot be written: a full disk.
        """
        record = disclosed({"schema": SCHEMA, **self.record, **changes})
        with _writing(self.path / RECORD), self._creating(RECORD):
            self._files.sweep(RECORD)
            self._files.replace(RECORD, (strict_json(record, indent=1) + "\n").encode())

    def anonymize(self) -> None:
        """Take the host, the user and folders elsewhere out of its record, for good.

        Raises:
            CifarzooError: It cannot be written: a full disk.
        """
        self.update(**{ANONYMOUS: True})
        if (text := self.resolved_text) is not None:
            with _writing(self.path / RESOLVED):
                without = disclosed_origins(text, is_anonymous=True)
                self._files.replace(RESOLVED, without.encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from running in this folder.

        Raises:
            UsageError: One does already, or the folder cannot be written to.
        """
        from filelock import FileLock, Timeout  # only who writes needs it

        self.check()
        lock = FileLock(self.path / LOCK, timeout=LOCK_SECONDS, poll_interval=LOCK_SECONDS / 4)
        try:
            with self._creating(LOCK):
                lock.acquire()
        except Timeout:
            who = self.record.get("process", {})
            raise UsageError(
                f"{self.path} is in use by another run (process {who.get('pid', '?')} on "
                f"{who.get('host') or '?'}, since {who.get('started', '?')})"
            ) from None
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written to: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    @property
    def is_locked(self) -> bool:
        """Whether a process runs in this folder, as far as this host can tell.

        What a killed process wrote of itself stays; its lock doesn't.
        """
        path = self.path / LOCK
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EWOULDBLOCK, errno.EACCES)
        finally:
            os.close(descriptor)
        return False

    def has_created(self, name: str) -> bool:
        """Whether what is called ``name`` wasn't there before this run was opened."""
        return name in self._created

    def discard(self) -> None:
        """Take away what was created for a run that was refused before it began, and no more."""
        is_anothers = self._files.kind(RECORD) and not self.has_created(RECORD)
        if is_anothers or self._files.kind(CHECKPOINTS) or "started" in self.record:
            return
        for name in reversed(self._created):
            with suppress(OSError):  # somebody put something into a folder
                self._files.take_away(name)
        self._created.clear()
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:  # another run is in it by now
                return

    def keep_plugins(self, plugins: Iterable[Plugin]) -> None:
        """Write plugins, as they were read, beside the config: the run can be resumed later.

        What is there already is left as it is.

        Raises:
            UsageError: The folder cannot be written to, or another file is where one has to be.
        """
        with beginning(self.path):
            for name, content in kept_plugins.copies(plugins, kept=self.plugins):
                self._keep(f"{PLUGINS}/{name}", content)

    def _keep(self, name: str, content: bytes) -> None:
        *folders, _ = accumulate(name.split("/"), "{}/{}".format)
        for folder in folders:
            if not self._files.kind(folder):
                with self._creating(folder):
                    self._files.make_folder(folder)
        if not self._files.kind(name):
            with self._creating(name):
                self._files.replace(name, content)
        elif self._files.read(name) != content:
            raise UsageError(
                f"{self.path / name} is there, and isn't the plugin that this run has to keep "
                "under that name; take it away, or choose another --run-dir"
            )

    @property
    def plugins(self) -> list[Path]:
        """The copies of the plugin files and folders that the run used.

        Raises:
            OddFileError: There is a link, a pipe or the like among them.
        """
        return kept_plugins.paths(self._files.below(PLUGINS))

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add a line to ``metrics.jsonl`` and see it onto the disk.

        Raises:
            CifarzooError: It cannot be written: a full disk.
        """
        with _writing(self.path / METRICS):
            self._files.append(METRICS, (strict_json(line) + "\n").encode())

    def metrics(self, size: int | None = None) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``; a last one that was torn off is left out.

        Args:
            size: Only lines within the first ``size`` bytes; None: all.

        Raises:
            UsageError: A line is no JSON object.
        """
        path, data = self.path / METRICS, self._metrics()[:size]
        whole = data[: data.rfind(b"\n") + 1].splitlines()
        return [_metrics_line(path, number, line) for number, line in enumerate(whole, start=1)]

    def has_counted(self, size: int, step: int) -> bool:
        """Whether a checkpoint of ``step`` can have counted ``size`` bytes of the metrics.

        They are whole lines, none of them of a later step, and what follows isn't of an earlier
        one. Where the file is shorter, lines are missing, and nothing can be said.

        Raises:
            UsageError: One of the lines makes no sense.
        """
        data = self._metrics()
        if size > len(data):
            return True
        before = self.metrics(size)
        if size and data[size - 1 : size] != b"\n":
            return False
        later = []
        for line in data[size:].splitlines():
            with suppress(ValueError):  # whatever it is, it is cut off
                later.append(entries(MetricsLine, line))
        steps_before = [line.get("step", step) for line in before]
        steps_later = [line.get("step", step) for line in later]
        return max(steps_before, default=step) <= step <= min(steps_later, default=step)

    @property
    def metrics_size(self) -> int:
        """Bytes of ``metrics.jsonl``: what a checkpoint counts."""
        return self._files.size(METRICS)

    def cut_metrics(self, size: int) -> None:
        """Cut ``metrics.jsonl`` back to what the checkpoint resumed from had counted.

        If it is shorter than that, only a line that was torn off is cut.
        """
        if self.metrics_size < size:
            size = self._metrics().rfind(b"\n") + 1
        if self.metrics_size > size:
            self._files.cut(METRICS, size)

    def _metrics(self) -> bytes:
        if not self._files.kind(METRICS):
            return b""
        return self._files.read(METRICS, at_most=MOST_METRICS)


def create(root: Path, name: str, config_text: str) -> RunFolder:
    """Make ``root/name/<time>-<id>/`` for a new run.

    Args:
        root: Folder that runs go to.
        name: Name of the config.
        config_text: Text of the config.

    Raises:
        UsageError: The folder cannot be made or written to.
    """
    time = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    return _start(root / _safe(name) / f"{time}-{secrets.token_hex(2)}", config_text)


def adopt(path: Path, config_text: str) -> tuple[RunFolder, bool]:
    """Use ``path`` for a run, or go on with the run that is there.

    Args:
        path: Path that ``--run-dir`` gave.
        config_text: Text of the config, for a new run.

    Returns:
        The folder, and whether it held a run already, of whatever config.

    Raises:
        UsageError: It holds other files, or cannot be written to.
    """
    if holds_run(path):
        return RunFolder(path), True
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is not a folder")
    if path.is_dir() and any(not _is_of_a_start(item.name) for item in path.iterdir()):
        raise UsageError(f"{path} holds other files; expected an empty folder or one of a run")
    return _start(path, config_text), False


def holds_run(path: Path) -> bool:
    """Whether ``path`` is the folder of a run.

    Raises:
        UsageError: It is no path of a folder.
    """
    check_length(path)
    return (path / CONFIG).is_file()


def check_length(path: Path) -> None:
    """Refuse a path that no folder can have.

    Raises:
        UsageError: It is one, such as a name that is too long.
    """
    try:
        (path / CONFIG).is_file()
    except OSError as error:  # other questions about a path have an answer
        raise UsageError(f"{str(path)[:40]!r}… is no path of a folder: {error.strerror}") from error


def this_process() -> dict[str, Any]:
    """Who is at work in a folder, for the message of its lock."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": started}


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say which file can't be written, of a run that may be at work for days."""
    try:
        yield
    except OSError as error:
        do = "take it away" if isinstance(error, OddFileError) else "make room"
        raise CifarzooError(
            f"{path} cannot be written: {error.strerror}; {do}, then cifarzoo resume goes on "
            "from the last checkpoint"
        ) from error


@contextmanager
def beginning(path: Path) -> Iterator[None]:
    """Say in which folder nothing can be written before a run has begun."""
    try:
        yield
    except OddFileError:
        raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written to: {error.strerror}") from error


def _is_of_a_start(name: str) -> bool:
    """Whether a file may stem from a start that was killed before its config."""
    return name == LOCK or is_leftover(name, CONFIG)


def _metrics_line(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        return entries(MetricsLine, line)
    except ValueError as problem:
        raise UsageError(
            f"line {number} of {path} {problem}; {PUT_BACK}, or take the line out"
        ) from problem


def _start(path: Path, config_text: str) -> RunFolder:
    files = RealFolder(path)
    with beginning(path):
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        files.sweep(CONFIG)
        files.replace(CONFIG, config_text.encode())
    return RunFolder(path, [CONFIG], made)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("-.")[:100] or "run"
